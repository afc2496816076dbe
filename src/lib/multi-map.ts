/**
 * A map from a name to several members. Most names have one member, which is kept without a Set: a Set for each user
 * and each channel was a tenth of the memory of an idle stream.
 */
export class Members<Member extends object> {
  readonly #members = new Map<string, Member | NamedSet<Member>>()

  /** How many names have a member. */
  get size() {
    return this.#members.size
  }

  add(name: string, member: Member) {
    const some = this.#members.get(name)
    if (some === undefined) this.#members.set(name, member)
    else if (some instanceof NamedSet) some.add(member)
    else this.#members.set(name, new NamedSet(name, [some, member]))
  }

  remove(name: string, member: Member) {
    const some = this.#members.get(name)
    if (some instanceof NamedSet) {
      some.delete(member)
      if (some.size === 0) this.#members.delete(name)
    } else if (some === member) this.#members.delete(name)
  }

  /** The members of a name, in the order in which they were added. */
  of(name: string): Iterable<Member> {
    const some = this.#members.get(name)
    if (some === undefined) return []
    return some instanceof NamedSet ? some : [some]
  }

  /**
   * The same name, to keep: for one that several members have, one text for all of them. Texts of their own would be
   * most of what a member with many names costs. A new one is copied: what `split` gives is a slice that keeps the
   * whole list.
   */
  nameOf(name: string) {
    const some = this.#members.get(name)
    if (some === undefined) return Buffer.from(name).toString()
    return some instanceof NamedSet ? some.name : name
  }
}

class NamedSet<Member> extends Set<Member> {
  readonly name: string

  constructor(name: string, members: Member[]) {
    super(members)
    this.name = name
  }
}

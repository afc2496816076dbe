/**
 * A map from a name to several members. Most names have one member, which is kept without a Set: a Set for each user
 * and each channel was a tenth of the memory of an idle stream.
 */
export class Members<Member extends object> {
  readonly #members = new Map<string, Member | Set<Member>>()

  /** How many names have a member. */
  get size() {
    return this.#members.size
  }

  add(name: string, member: Member) {
    const some = this.#members.get(name)
    if (some === undefined) this.#members.set(name, member)
    else if (some instanceof Set) some.add(member)
    else this.#members.set(name, new Set([some, member]))
  }

  remove(name: string, member: Member) {
    const some = this.#members.get(name)
    if (some instanceof Set) {
      some.delete(member)
      if (some.size === 0) this.#members.delete(name)
    } else if (some === member) this.#members.delete(name)
  }

  /** The members of a name, in the order in which they were added. */
  of(name: string): Iterable<Member> {
    const some = this.#members.get(name)
    if (some === undefined) return []
    return some instanceof Set ? some : [some]
  }
}

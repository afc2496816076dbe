/** The demo page's questions to the database. */
export type DemoStore = {
  /**
   * Publishes in SQL, as any service would. Throws `bad_notification` or `payload_too_large` with the reason.
   */
  publish(channel: string, payload: string, type: string | null): Promise<string>
  deliveries(notificationId: string): Promise<DemoDelivery[]>
  /** Makes a user a member of a channel, or no longer. */
  setMember(channel: string, userId: string, isMember: boolean): Promise<void>
  /** Sets the role level of a user who has none yet. */
  giveRole(userId: string, roleLevel: number): Promise<void>
}

export type DemoDelivery = {
  channel: string
  status: string
  recipients: number
  error: string | null
}

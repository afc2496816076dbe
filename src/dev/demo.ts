/** What the demo page needs of the database. */
export type DemoStore = {
  /**
   * Publishes in SQL, as any service would. Throws `bad_notification` or
   * `payload_too_large` with what is wrong.
   */
  publish(channel: string, payload: string, type: string | null): Promise<string>
  deliveries(notificationId: string): Promise<DemoDelivery[]>
  /** Gives a role level to a user who has none yet. */
  giveRole(userId: string, roleLevel: number): Promise<void>
}

export type DemoDelivery = {
  channel: string
  status: string
  recipients: number
  error: string | null
}

/**
 * Carries batches from the instance that numbers to all instances. It may lose, repeat, reorder, delay and change
 * messages: who receives one checks it, and reads the table whenever one is missing or wrong.
 */
export type Relay = {
  /** What is longer can't be sent. It may change when another server is reached. */
  readonly maxBytes: number
  /**
   * Sends to every instance that receives; the sender may get its own message. Rejects when it can't, which costs
   * time only.
   */
  send(message: Uint8Array): Promise<void>
  /** Calls with each message that arrives from now on, until it is stopped. Reconnects by itself. */
  receive(onMessage: (message: Uint8Array) => void): Receiving
}

/** Messages arrive through this until it is stopped. */
export type Receiving = {
  /** Whether messages are known to arrive. */
  isUp(): boolean
  stop(): Promise<void>
}

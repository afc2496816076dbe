/** After so many looks in a row that were called for and found no event, each next one waits a little. */
const most = 20
const emptyPauseMs = 10

/** How long to wait after a look, so that whoever calls for nothing all the time makes it look at a bounded rate. */
export const createPatience = () => {
  /** How many turns in a row found nothing although somebody had called for them. */
  let calledForNothing = 0
  return {
    after(wasCalled: boolean, foundSomething: boolean) {
      calledForNothing = wasCalled && !foundSomething ? calledForNothing + 1 : 0
      return calledForNothing > most ? emptyPauseMs : 0
    },
  }
}

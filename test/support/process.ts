/** Whether a child process has ended. */
export const isGone = (pid: number) => {
  try {
    process.kill(pid, 0)
    return false
  } catch {
    return true
  }
}

/** Whether a service in another process is ready. */
export const isReady = async (url: string, path = '/readyz') => {
  try {
    return (await fetch(`${url}${path}`)).ok
  } catch {
    return false // It does not listen yet.
  }
}

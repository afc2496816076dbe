import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'

/**
 * What the admin API answers to a question that can change: null until it does, or when there is no question. An answer
 * is for the newest request only. `reload` asks the question of the newest render again.
 */
export const useAnswer = <Answer>(question: string, ask: () => Promise<Answer> | null) => {
  const state = useSignal<{ question: string; answer: Answer | null; error: string | null }>({
    question,
    answer: null,
    error: null,
  })
  const newest = useRef({ ask, question, number: 0 })
  Object.assign(newest.current, { ask, question })

  const reload = async () => {
    const { ask, question } = newest.current
    const number = ++newest.current.number
    const set = (changed: { answer?: Answer | null; error: string | null }) => {
      if (newest.current.number !== number) return
      const before = state.peek().question === question ? state.peek().answer : null
      state.value = { question, answer: before, ...changed }
    }
    try {
      set({ answer: await ask(), error: null })
    } catch (error) {
      // What was answered before stays.
      set({ error: error instanceof Error ? error.message : 'It failed.' })
    }
  }
  useEffect(() => {
    void reload()
  }, [question])

  // At once, and not when it has been asked.
  const isAnswered = state.value.question === question
  return {
    answer: isAnswered ? state.value.answer : null,
    error: isAnswered ? state.value.error : null,
    reload,
  }
}

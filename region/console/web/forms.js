// Dialogs that make calls, and show the commands that make the same.

import { perform } from './api.js'
import { sameElsewhere } from './snippets.js'
import { button, confirm, dialog, failure, fill, h, note } from './ui.js'

/** A form that does something, with the commands that do the same in `code`. `done` gets what `act` gave. */
export function actDialog(title, { content, code, act, verb, said, done, wide }) {
  dialog(
    title,
    (close) => {
      const failed = h('div')
      const form = h('form.stack', { onsubmit: (event) => (event.preventDefault(), go.click()) }, content)
      for (const kind of ['input', 'change']) form.addEventListener(kind, () => code.refresh())
      const go = button(
        verb,
        async () => {
          // The browser says which field lacks what.
          if (!form.reportValidity()) return
          try {
            const answer = await act()
            if (said) note(said)
            close()
            await done?.(answer)
          } catch (error) {
            fill(failed, failure(error))
          }
        },
        { tone: 'primary' },
      )
      return [form, failed, code, h('div.actions', button('Cancel', close), go)]
    },
    { wide },
  )
}

/** A form whose calls are shown, too. `request` gives [operation, input, service], or a list of such; `follow` takes the first answer and
 *  gives what is called behind it. */
export function callDialog(title, { request, follow, ...form }) {
  actDialog(title, { ...form, code: sameElsewhere(request), act: () => all(request(), follow) })
}

async function all(made, follow) {
  const calls = Array.isArray(made[0]) ? made : [made]
  const answers = []
  for (const call of follow ? calls.slice(0, 1) : calls) answers.push(await perform(...call))
  if (follow) for (const call of follow(answers[0])) await perform(...call)
  return answers[0]
}

/** Asks before a call that cannot be taken back. */
export function callConfirm(title, text, { request, verb, said, word, done }) {
  confirm(title, text, {
    verb,
    word,
    code: sameElsewhere(() => request),
    act: async () => {
      await perform(...request)
      if (said) note(said)
      await done?.()
    },
  })
}

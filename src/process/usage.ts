import { roleUsage } from './role.ts'
import { tokenUsage } from './token.ts'

/** What `kairan help` says. */
export const usage = `Usage: kairan <command>

  start        serve (the default)
  dev          serve with a Postgres of its own, a demo page, and a restart at every change
               (in a checkout of the source)
  migrate      bring the schema up to date, and end
  token        print a token for a user, signed with the first JWT_SECRET:
               token --sub 42 [--scope kairan:publish] [--expires 1h] [--claim name=json]
  role         give a user a role level: role 42 100
  config       show the settings as they count, without secrets
  healthcheck  ask the service on HOST and PORT whether it is ready: exit code 0 or 1
  version      show the version
  help         show this; help <command> says more

Settings come from the environment. All that are wrong are named at once, with exit code 78.
Exit codes: 0 done, 1 failed, 64 no such command or option, 78 wrong settings, 130 ended by a second signal.`

const commands: Record<string, string> = {
  start: `Usage: kairan start

Brings the schema up to date if the login may, and serves on HOST and PORT until a signal comes.
SIGTERM and SIGINT end the streams within DRAIN_MS; a second signal ends the process at once.
It needs DATABASE_URL, and JWT_SECRET or JWT_JWKS_URL. kairan config shows all settings.`,
  dev: `Usage: kairan dev

Serves for development, with a Postgres of its own unless DATABASE_URL is set. It works in a checkout of the
source only.`,
  migrate: `Usage: kairan migrate

Brings the schema kairan in the database of DATABASE_URL up to date, and ends. The login has to own the schema,
or be allowed to create it. It needs no other setting.`,
  token: `${tokenUsage}

Prints a token of a user, signed with the first JWT_SECRET, with JWT_ISSUER and JWT_AUDIENCE if they are set.
--scope kairan:publish lets it publish. --claim may be repeated: --claim 'kairan:subscribe=["org-7"]'.`,
  role: `${roleUsage}

Gives user 42 the role level 100 in kairan.roles. It needs the DATABASE_URL of the owner, as migrate does.`,
  config: `Usage: kairan config

Prints the settings in use as lines that Kairan accepts again, without secrets and passwords.`,
  healthcheck: `Usage: kairan healthcheck

Asks /readyz of the service on HOST and PORT. Exit code 0 if it is ready, 1 if not.`,
  version: 'Usage: kairan version',
  help: 'Usage: kairan help [command]',
}

/** What `kairan help start` and `kairan start --help` say; undefined where there is no such command. */
export const usageOf = (command: string): string | undefined =>
  Object.hasOwn(commands, command) ? commands[command] : undefined

/** Whether somebody asks for help with a command. */
export const asksForHelp = (options: readonly string[]) =>
  options.some(option => option === '--help' || option === '-h')

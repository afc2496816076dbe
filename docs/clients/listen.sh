#!/bin/sh
# Usage: listen.sh URL TOKEN. Prints the JSON of each event, and goes on where it was after a cut.
cursor=''
while true; do
  # The subshell ends with the response; what it has to leave behind is in a file.
  state=$(mktemp)
  printf '%s' "$cursor" > "$state"
  curl -sN --fail "$1/notifications/stream" -H "Authorization: Bearer $2" -H "Last-Event-ID: $cursor" |
    while IFS= read -r line; do
      case $line in
        'id: '*) printf '%s' "${line#id: }" > "$state" ;;
        'data: {"channel"'*) printf '%s\n' "${line#data: }" ;;
      esac
    done
  cursor=$(cat "$state")
  rm -f "$state"
  sleep 1
done

#!/bin/sh
# An example client of otpgw in curl: has a code sent to the number of the argument, asks for it, and checks what was typed.
#   OTPGW_URL=https://otp.example.com OTPGW_TOKEN=... docs/examples/verify.sh +34600000001
set -eu
: "${OTPGW_URL:?}" "${OTPGW_TOKEN:?}" "${1:?the number is missing}"

# post PATH BODY prints the body of the answer and, in a last line of its own, its status. The token comes by a file that is no file,
# so that it does not stand in the list of processes. 429 and 503 are repeated after the time that Retry-After names, three times at most.
post() {
  printf 'header = "Authorization: Bearer %s"\n' "$OTPGW_TOKEN" |
    curl --silent --show-error --config - --retry 3 --retry-max-time 30 --max-time 30 --write-out '\n%{http_code}\n' \
      --header 'Content-Type: application/json' --header "Idempotency-Key: $key" --data "$2" "$OTPGW_URL/one-time-password-sms/v1$1"
}

key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
answer=$(post /send-code "{\"phoneNumber\":\"$1\",\"message\":\"{{code}} is your code for Example Bank\"}")
id=$(printf '%s' "$answer" | sed -n 's/.*"authenticationId":"\([^"]*\)".*/\1/p')
[ -n "$id" ] || { echo "$answer" >&2; exit 1; }

while printf 'code: ' && read -r code; do
  case $code in '' | *[!0-9A-Za-z]*) echo 'that is not it'; continue ;; esac # it goes into JSON as it is
  answer=$(post /validate-code "{\"authenticationId\":\"$id\",\"code\":\"$code\"}")
  case $answer in
    *204) echo verified; exit 0 ;;
    *INVALID_OTP* | *INVALID_ARGUMENT*) echo 'that is not it' ;;
    *) echo "$answer" >&2; exit 1 ;; # the tries are used up, the code's life is over, or it is another matter
  esac
done
exit 1

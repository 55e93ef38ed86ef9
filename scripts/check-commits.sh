#!/usr/bin/env bash
# Messages of commits: a subject of under 72 characters, and a body that says why. Merges are left alone.
#   scripts/check-commits.sh            those that main does not have yet
#   scripts/check-commits.sh HEAD~3..   those of a range
set -euo pipefail

commits=$(git rev-list --no-merges "${1:-main..HEAD}")
failed=0
for commit in $commits; do
  subject=$(git log -1 --format=%s "$commit")
  name="$(git rev-parse --short "$commit") \"$subject\""
  if [ "${#subject}" -ge 72 ]; then
    echo "$name: the subject has ${#subject} characters; at most 71, please" >&2
    failed=1
  fi
  if [ -z "$(git log -1 --format=%b "$commit")" ]; then
    echo "$name: no body; say why, behind an empty line" >&2
    failed=1
  fi
done
exit "$failed"

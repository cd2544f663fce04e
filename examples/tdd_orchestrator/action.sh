#!/usr/bin/env bash
# Runs the documents that a pull request's last push has changed; $1 is where python and github-worker are.
set -euo pipefail

git merge-base --is-ancestor "${BEFORE:-none}" "$HEAD" 2>/dev/null || BEFORE=$(git merge-base "$BASE" "$HEAD")
git diff --name-only -z --diff-filter=AMR "$BEFORE" "$HEAD" -- "$DOCUMENTS" >"$RUNNER_TEMP/documents"
mapfile -d '' -t documents <"$RUNNER_TEMP/documents"
if ((${#documents[@]} == 0)); then
    echo "No document has changed."
    exit
fi

mkdir -p "$RUNNER_TEMP/sessions"
export STORAGE_URL=file://$RUNNER_TEMP/sessions GIT_ALLOWED_HOSTS=${GITHUB_SERVER_URL#https://}
export HOST=127.0.0.1 PORT=${PORT-5002} GITHUB_WORKER_TOKEN
export GITHUB_WORKER_URL=http://127.0.0.1:$PORT
GITHUB_WORKER_TOKEN=$(openssl rand -hex 32)
env -u GITHUB_TOKEN "$1/github-worker" serve --workers 2 &
service=$!
trap 'kill "$service" && wait "$service"' EXIT
until curl --silent --fail --output /dev/null "$GITHUB_WORKER_URL/health"; do
    kill -0 "$service"
    sleep 0.2
done

status=0
echo "pull-requests<<END" >>"$GITHUB_OUTPUT"
for document in "${documents[@]}"; do
    "$1/python" -m examples.tdd_orchestrator run-prd "./$document" --repo "$REPOSITORY_URL" --base "$BRANCH" --pr |
        tee "$RUNNER_TEMP/said" || status=1
    tail -n 1 "$RUNNER_TEMP/said" | grep '^http' >>"$GITHUB_OUTPUT" || true # none, or one with blocked tasks too
done
echo END >>"$GITHUB_OUTPUT"
exit "$status"

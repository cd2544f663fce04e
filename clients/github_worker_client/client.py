"""GitHubWorker: the service's endpoints as awaitable methods, and their streams of events."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Literal, Self

import httpx
import msgspec

from github_worker.contract import (
    AnyEvent,
    Author,
    AutoPullRequest,
    BranchCreated,
    BranchSwitched,
    BranchSynced,
    Cloned,
    CloneRepository,
    CoAuthor,
    CommitAndPush,
    Committed,
    CreateBranch,
    CreatePullRequest,
    Health,
    InitSession,
    InspectSession,
    MergeMethod,
    MergePullRequest,
    NewTag,
    OnSecret,
    PullRequestFinished,
    PullRequestMerged,
    PullRequestOpened,
    Request,
    SessionInitialised,
    SessionInspected,
    Status,
    SwitchBranch,
    SyncBranch,
    SyncMethod,
)
from github_worker.redaction import Secret
from github_worker.retry import Backoff
from github_worker_client import wire
from github_worker_client.clock import Clock
from github_worker_client.replicas import Replicas
from github_worker_client.wire import AnyResult, Credential, Token

OnEvent = Callable[[AnyEvent], object]

# A replica is free at once or after a job's time. With these numbers the 95th percentile of a crowd waits
# about three times the median; to ask more often costs the replicas more than it gives.
_BACKOFF = Backoff(at_once=4, first=0.2, longest=1.0, half_life=4.0)


class GitHubWorker:
    """A client of the service at one address, behind which are any number of replicas.

    Every method that runs a job takes these, besides its own:

    - `access_token`: the token for the git server and the forge, text or a Secret; may be left out where the
      service makes one by its GitHub App.
    - `claude_credentials`: for the model that writes names and messages: an API key, an OAuth token, or the
      JSON that holds one, as text, a mapping or a Secret. Without them the worker's own are used, if it has
      any.
    - `request_id`: asked again with the same one, the worker answers with the first outcome and does nothing
      twice. A new one is made unless given.
    - `on_event`: is called with every event, and awaited if it is async. After a broken stream the events
      begin anew. If it raises, the call ends with that, while the worker finishes the job.

    and raises these, all of them a GitHubWorkerError:

    - InvalidRequest, before anything is sent, if a field is wrong; Unauthorized and other kinds of Refused if
      the worker does not take the request.
    - WorkerBusy or WorkerUnavailable if no replica took the job within `busy_timeout`, or none could be
      reached within `unreachable_timeout`.
    - JobFailed if the worker reports an error; it is not retried, and its `code`, `stage`, `retryable` and
      `data` are the worker's. What a pull request ends in has classes of its own: PullRequestExists,
      NoCommits, PullRequestNotMergeable, MergeConflict, PullRequestTimeout.
    - StreamBroken if the stream was lost again and again; the job may have been done.
    - UnexpectedAnswer if what answers is no GitHub Worker.

    A push that failed raises nothing: the result's `pushed` is false, and `push_error` says why.
    """

    def __init__(
        self,
        base_url: str,
        token: Token | None = None,
        *,
        busy_timeout: float = 120.0,
        unreachable_timeout: float = 10.0,
        connect_timeout: float = 5.0,
        silence_timeout: float = 60.0,
        stream_attempts: int = 4,
        backoff: Backoff = _BACKOFF,
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Make a client; it connects when it is asked for something.

        - `base_url`: the service's address, such as `http://localhost:5002`.
        - `token`: its `GITHUB_WORKER_TOKEN`, if it has one.
        - `busy_timeout`: the seconds in which a replica that is busy, restarting or gone is left for another,
          on a new connection.
        - `unreachable_timeout`: the seconds after which a call gives up where nothing at the address has ever
          accepted a connection of this client.
        - `connect_timeout`: the seconds that one connection may take.
        - `silence_timeout`: the seconds without a byte after which a stream counts as broken; a worker sends
          something every 15.
        - `stream_attempts`: how often a stream is asked for in all, under the same request id.
        - `backoff`: the waits between tries: none for the first 4, then 0.2 s that double up to 1 s, and
          shorter again the longer a call has waited.
        - `clock`: the time, for tests. `transport`: another way to send, as httpx has it.
        """
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=httpx.Timeout(silence_timeout, connect=connect_timeout, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            transport=transport,
            trust_env=False,  # requests carry tokens: they go to no proxy that was not asked for
        )
        self._replicas = Replicas(
            self._http,
            Secret(token) if isinstance(token, str) else token,
            busy_timeout=busy_timeout,
            unreachable_timeout=unreachable_timeout,
            stream_attempts=stream_attempts,
            backoff=backoff,
            clock=clock or Clock(),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def clone_repository(
        self,
        *,
        session_id: str,
        repo_url: str,
        branch: str | None = None,
        directory: str | None = None,
        access_token: Token | None = None,
        depth: int | None = None,
        all_branches: bool = False,
        lfs: bool | None = None,
        submodules: bool | Literal["recursive"] = False,
        request_id: str | None = None,
        on_event: OnEvent | None = None,
    ) -> Cloned:
        """Clone a repository into a session, or update the one that is there.

        - `session_id`: the session; it is made if there is none.
        - `repo_url`: `https://host/owner/repo` or `git@host:owner/repo`, without credentials.
        - `branch`: the branch to clone; the remote's default by default, and if the remote has no such
          branch.
        - `directory`: the folder to clone into, such as `apps/web`; the repository's name by default.
        - `access_token`: may be left out for a public repository.
        - `depth`: how many commits of history; all of them by default.
        - `all_branches`: whether to clone every branch; only the one by default.
        - `lfs`: whether to do what git-lfs does; the worker's `LFS` by default.
        - `submodules`: whether to clone submodules too, each at its recorded commit; with `recursive` theirs
          as well. What cannot be cloned is left out with a `warning`.
        """
        request = wire.build(
            CloneRepository,
            session_id=session_id,
            repo_url=repo_url,
            branch=branch,
            directory=directory,
            access_token=access_token,
            depth=depth,
            all_branches=all_branches,
            lfs=lfs,
            submodules=submodules,
            request_id=request_id,
        )
        return await self._result(request, Cloned, on_event)

    async def create_branch(
        self,
        *,
        session_id: str,
        user_request: str,
        base_branch: str,
        access_token: Token | None = None,
        repo_url: str | None = None,
        claude_credentials: Credential | None = None,
        base_commit: str | None = None,
        lfs: bool | None = None,
        request_id: str | None = None,
        on_event: OnEvent | None = None,
    ) -> BranchCreated:
        """Start a branch in the session that is named after the user's request, and push it.

        - `session_id`: a session that holds a repository.
        - `user_request`: the user's words for the work, as many as there are; a model sees the first
          20,000 characters.
        - `base_branch`: the branch to start at.
        - `repo_url`: the repository that the session must hold; any by default.
        - `base_commit`: the commit to start at, in full; the base branch's tip by default.
        - `lfs`: whether to do what git-lfs does; the worker's `LFS` by default.
        """
        request = wire.build(
            CreateBranch,
            session_id=session_id,
            user_request=user_request,
            base_branch=base_branch,
            access_token=access_token,
            repo_url=repo_url,
            claude_credentials=claude_credentials,
            base_commit=base_commit,
            lfs=lfs,
            request_id=request_id,
        )
        return await self._result(request, BranchCreated, on_event)

    async def commit_and_push(
        self,
        *,
        session_id: str,
        access_token: Token | None = None,
        claude_credentials: Credential | None = None,
        user_id: str | None = None,
        author: Author | None = None,
        message: str | None = None,
        on_secret: OnSecret | None = None,
        signing_key: Token | None = None,
        signing_key_passphrase: Token | None = None,
        paths: Sequence[str] | None = None,
        sign_off: bool = False,
        co_authors: Sequence[CoAuthor] = (),
        tag: NewTag | None = None,
        dry_run: bool = False,
        lfs: bool | None = None,
        request_id: str | None = None,
        on_event: OnEvent | None = None,
    ) -> Committed:
        """Commit what changed in the session's repository, and push it.

        - `session_id`: a session that holds a repository.
        - `user_id`: the user who asks, for the commit's `Committed-by:`; none by default.
        - `author`: the commit's author; the worker itself by default. Its `time_zone` is the date's.
        - `message`: the commit's message; by default it is made from the changes.
        - `on_secret`: what to do with credentials in what would be pushed: `refuse` ends the job with
          `secret_detected`, `leave-out` commits all other files and warns, `allow` pushes them and warns; the
          worker's `ON_SECRET` by default.
        - `signing_key`, `signing_key_passphrase`: the OpenSSH private key that signs the commit, and the
          passphrase of one that is encrypted; the worker's own by default, if it has one. With a key, the
          `author` is the committer too.
        - `paths`: the files and folders to commit, by their names; everything that changed by default.
        - `sign_off`: whether the message says `Signed-off-by:` and the committer; no by default.
        - `co_authors`: others who wrote it, each a `Co-authored-by:` of the message; none by default.
        - `tag`: a tag for the branch's tip; none by default. The result's `tag` says what became of it.
        - `dry_run`: whether only to say what would be committed, with its message and `files`; no by default.
        - `lfs`: whether to do what git-lfs does; the worker's `LFS` by default.

        The result is `skipped`, with its `reason`, if there was nothing to commit and nothing to push.
        """
        request = wire.build(
            CommitAndPush,
            session_id=session_id,
            access_token=access_token,
            claude_credentials=claude_credentials,
            user_id=user_id,
            author=author,
            message=message,
            on_secret=on_secret,
            signing_key=signing_key,
            signing_key_passphrase=signing_key_passphrase,
            paths=paths,
            sign_off=sign_off,
            co_authors=co_authors,
            tag=tag,
            dry_run=dry_run,
            lfs=lfs,
            request_id=request_id,
        )
        return await self._result(request, Committed, on_event)

    async def init_session(
        self,
        *,
        session_id: str,
        repo_url: str,
        user_request: str,
        access_token: Token | None = None,
        branch: str | None = None,
        directory: str | None = None,
        claude_credentials: Credential | None = None,
        depth: int | None = None,
        all_branches: bool = False,
        base_commit: str | None = None,
        lfs: bool | None = None,
        submodules: bool | Literal["recursive"] = False,
        request_id: str | None = None,
        on_event: OnEvent | None = None,
    ) -> SessionInitialised:
        """Clone a repository and start a branch in it, over one download and one upload of the session.

        The arguments are those of `clone_repository`, and `user_request` and `base_commit` of
        `create_branch`; the new branch starts at the one that is cloned.
        """
        request = wire.build(
            InitSession,
            session_id=session_id,
            repo_url=repo_url,
            user_request=user_request,
            access_token=access_token,
            branch=branch,
            directory=directory,
            claude_credentials=claude_credentials,
            depth=depth,
            all_branches=all_branches,
            base_commit=base_commit,
            lfs=lfs,
            submodules=submodules,
            request_id=request_id,
        )
        return await self._result(request, SessionInitialised, on_event)

    async def create_pull_request(
        self,
        *,
        base: str,
        access_token: Token | None = None,
        owner: str | None = None,
        repo: str | None = None,
        head: str | None = None,
        session_id: str | None = None,
        title: str | None = None,
        body: str | None = None,
        draft: bool = False,
        labels: Sequence[str] = (),
        reviewers: Sequence[str] = (),
        team_reviewers: Sequence[str] = (),
        assignees: Sequence[str] = (),
        milestone: int | None = None,
        update: bool = False,
        maintainer_can_modify: bool | None = None,
        claude_credentials: Credential | None = None,
        repo_url: str | None = None,
        request_id: str | None = None,
        on_event: OnEvent | None = None,
    ) -> PullRequestOpened:
        """Open a pull request, or update the one that is open.

        - `base`: the branch to merge into.
        - `owner`, `repo`, `head`: the repository and the branch to merge, `owner:branch` for a fork's; or
          `session_id` in place of all three.
        - `repo_url`: the repository's URL in place of `owner` and `repo`, for one that is on GitLab, Gitea or
          Forgejo.
        - `title`, `body`: its words; by default they are made from its commits.
        - `draft`: whether to open it as a draft; no by default.
        - `labels`, `reviewers` and `assignees` (logins), `team_reviewers` (slugs): what to add; none by
          default. What the forge refuses of them is a warning, and the pull request stands.
        - `milestone`: the number of one; none by default, and a warning if it is refused.
        - `update`: whether to give one that is open already this `title` and `body`, those that are given;
          no by default: it is PullRequestExists.
        - `maintainer_can_modify`: whether maintainers may push to a fork's branch; by default the forge
          decides.
        """
        request = wire.build(
            CreatePullRequest,
            session_id=session_id,
            owner=owner,
            repo=repo,
            head=head,
            base=base,
            title=title,
            body=body,
            draft=draft,
            labels=labels,
            reviewers=reviewers,
            team_reviewers=team_reviewers,
            assignees=assignees,
            milestone=milestone,
            update=update,
            maintainer_can_modify=maintainer_can_modify,
            claude_credentials=claude_credentials,
            access_token=access_token,
            repo_url=repo_url,
            request_id=request_id,
        )
        return await self._result(request, PullRequestOpened, on_event)

    async def merge_pull_request(
        self,
        *,
        pull_number: int,
        access_token: Token | None = None,
        owner: str | None = None,
        repo: str | None = None,
        merge_method: MergeMethod | None = None,
        commit_title: str | None = None,
        commit_message: str | None = None,
        expected_head: str | None = None,
        repo_url: str | None = None,
        request_id: str | None = None,
        on_event: OnEvent | None = None,
    ) -> PullRequestMerged:
        """Merge a pull request; one that is merged already is reported as merged.

        - `owner`, `repo`, `pull_number`: which one; `repo_url` in place of the first two, as above.
        - `merge_method`: `merge`, `squash` or `rebase`; by default one that the repository and the base's
          rules allow.
        - `commit_title`, `commit_message`: the merge commit's words; the forge's own by default.
        - `expected_head`: the commit that it must be at to be merged, in full; any by default.
        """
        request = wire.build(
            MergePullRequest,
            owner=owner,
            repo=repo,
            pull_number=pull_number,
            merge_method=merge_method,
            commit_title=commit_title,
            commit_message=commit_message,
            expected_head=expected_head,
            access_token=access_token,
            repo_url=repo_url,
            request_id=request_id,
        )
        return await self._result(request, PullRequestMerged, on_event)

    async def auto_pull_request(
        self,
        *,
        base: str,
        access_token: Token | None = None,
        owner: str | None = None,
        repo: str | None = None,
        branch: str | None = None,
        session_id: str | None = None,
        title: str | None = None,
        body: str | None = None,
        labels: Sequence[str] = (),
        reviewers: Sequence[str] = (),
        assignees: Sequence[str] = (),
        merge_method: MergeMethod | None = None,
        commit_title: str | None = None,
        commit_message: str | None = None,
        delete_branch: bool = True,
        auto_merge: bool = False,
        wait_for_checks: bool = False,
        wait_timeout: int | None = None,
        claude_credentials: Credential | None = None,
        repo_url: str | None = None,
        request_id: str | None = None,
        on_event: OnEvent | None = None,
    ) -> PullRequestFinished:
        """Take a branch through a pull request into its base: find or open it, merge, delete the branch.

        - `base`: the branch to merge into.
        - `owner`, `repo`, `branch`: the repository and the branch to merge; or `session_id` in place of all
          three.
        - `repo_url`: the repository's URL in place of `owner` and `repo`, for one that is on GitLab, Gitea or
          Forgejo.
        - `title`, `body`: the words of a new pull request; by default they are made from its commits.
        - `labels`, `reviewers` and `assignees` (logins): what to add; none by default. What the forge
          refuses of them is a warning.
        - `merge_method`, `commit_title`, `commit_message`: as for `merge_pull_request`.
        - `delete_branch`: whether to delete the branch that was merged; yes by default.
        - `auto_merge`: whether to leave the merge to the forge, when its rules are met, by its merge queue
          if it has one; no by default. The result's `step` is then `auto_merge_enabled`, unless all rules
          were met: then it is merged at once.
        - `wait_for_checks`: whether to wait for the checks that the base requires or, if it requires none,
          the branch's; no by default.
        - `wait_timeout`: the seconds to wait for GitHub before the job fails with `TIMEOUT`, with what was
          done so far in `data`; 30 by default, or with `wait_for_checks` until the job's time is nearly over.
        """
        request = wire.build(
            AutoPullRequest,
            session_id=session_id,
            owner=owner,
            repo=repo,
            branch=branch,
            base=base,
            title=title,
            body=body,
            labels=labels,
            reviewers=reviewers,
            assignees=assignees,
            merge_method=merge_method,
            commit_title=commit_title,
            commit_message=commit_message,
            delete_branch=delete_branch,
            auto_merge=auto_merge,
            wait_for_checks=wait_for_checks,
            wait_timeout=wait_timeout,
            claude_credentials=claude_credentials,
            access_token=access_token,
            repo_url=repo_url,
            request_id=request_id,
        )
        return await self._result(request, PullRequestFinished, on_event)

    async def sync_branch(
        self,
        *,
        session_id: str,
        access_token: Token | None = None,
        base: str | None = None,
        method: SyncMethod = "merge",
        force_with_lease: bool = False,
        leave_conflicts: bool = False,
        author: Author | None = None,
        lfs: bool | None = None,
        request_id: str | None = None,
        on_event: OnEvent | None = None,
    ) -> BranchSynced:
        """Bring the newer commits of a base branch into the session's branch; uncommitted work stays.

        - `session_id`: a session that holds a repository.
        - `access_token`: may be left out for a public repository.
        - `base`: the branch whose commits are brought in; the one that the session began at by default.
        - `method`: `merge`, or `rebase` for a branch of which nothing is pushed.
        - `force_with_lease`: whether to rebase a branch that is pushed too, and push it over what the session
          knows of it; no by default.
        - `leave_conflicts`: whether conflicts of a merge are left in the session, for somebody to resolve:
          the next `commit_and_push` concludes the merge. By default they are a MergeConflict, and nothing
          changes.
        - `author`: the merge commit's author; the worker itself by default.
        - `lfs`: whether to do what git-lfs does; the worker's `LFS` by default.
        """
        request = wire.build(
            SyncBranch,
            session_id=session_id,
            access_token=access_token,
            base=base,
            method=method,
            force_with_lease=force_with_lease,
            leave_conflicts=leave_conflicts,
            author=author,
            lfs=lfs,
            request_id=request_id,
        )
        return await self._result(request, BranchSynced, on_event)

    async def switch_branch(
        self,
        *,
        session_id: str,
        branch: str,
        access_token: Token | None = None,
        lfs: bool | None = None,
        request_id: str | None = None,
        on_event: OnEvent | None = None,
    ) -> BranchSwitched:
        """Put the session on a branch that it or the remote has; uncommitted work is carried along.

        - `session_id`: a session that holds a repository.
        - `branch`: the branch; where only the remote has it, the session's new one follows it.
        - `access_token`: may be left out for a public repository, or a branch that the session has.
        - `lfs`: whether to do what git-lfs does; the worker's `LFS` by default.
        """
        request = wire.build(
            SwitchBranch,
            session_id=session_id,
            branch=branch,
            access_token=access_token,
            lfs=lfs,
            request_id=request_id,
        )
        return await self._result(request, BranchSwitched, on_event)

    async def inspect_session(
        self,
        *,
        session_id: str,
        access_token: Token | None = None,
        patch_bytes: int | None = None,
        request_id: str | None = None,
        on_event: OnEvent | None = None,
    ) -> SessionInspected:
        """Say what the session's repository holds that is not committed or not pushed; nothing is changed.

        - `session_id`: a session that holds a repository.
        - `access_token`: is not used, as the remote is not asked.
        - `patch_bytes`: how many bytes of the changes to return as a patch; none by default.
        """
        request = wire.build(
            InspectSession,
            session_id=session_id,
            access_token=access_token,
            patch_bytes=patch_bytes,
            request_id=request_id,
        )
        return await self._result(request, SessionInspected, on_event)

    async def health(self) -> Health:
        """Ask one replica, once, how it is; raise WorkerUnavailable if it does not answer."""
        return await self._replicas.get("/health", Health)

    async def status(self) -> Status:
        """Ask one replica, once, what it does; raise WorkerUnavailable if it does not answer."""
        return await self._replicas.get("/status", Status)

    async def stream(self, request: Request) -> AsyncGenerator[AnyEvent, None]:
        """Run a job and yield its events; the last one is Completed or Failed, which raises nothing here.

        `request` is a request of the contract, such as CommitAndPush. Retries and other errors are as for the
        methods. After a broken stream the events begin anew. Leaving early leaves the job running; wrap the
        iterator in `contextlib.aclosing` to let go of the connection at once.
        """
        wire.check(request)
        request = msgspec.structs.replace(request, request_id=request.request_id or uuid.uuid4().hex)
        async with aclosing(self._replicas.stream(request)) as events:
            async for event in events:
                yield event

    async def _result(self, request: Request, kind: type[AnyResult], on_event: OnEvent | None) -> AnyResult:
        event = None
        async with aclosing(self.stream(request)) as events:
            async for event in events:
                called = on_event and on_event(event)
                if inspect.isawaitable(called):
                    await called
        return wire.outcome(event, kind)

"""The requests: the body of each `POST`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta, Struct

from github_worker.contract.fields import (
    AnyRepositoryUrl,
    Branch,
    ClaudeCredentials,
    Depth,
    Directory,
    File,
    Head,
    Label,
    Line,
    Login,
    Owner,
    Passphrase,
    PrivateKey,
    RepositoryName,
    RepositoryUrl,
    RequestId,
    SessionId,
    Sha,
    Tag,
    Team,
    Text,
    TimeZone,
    Title,
    Token,
    UserId,
    UserRequest,
    describe,
    one_line,
)
from github_worker.contract.results import (
    BranchCreated,
    BranchSwitched,
    BranchSynced,
    Cloned,
    Committed,
    PullRequestFinished,
    PullRequestMerged,
    PullRequestOpened,
    Result,
    SessionInitialised,
    SessionInspected,
)

MergeMethod = Literal["merge", "squash", "rebase"]
OnSecret = Literal["refuse", "leave-out", "allow"]
SyncMethod = Literal["merge", "rebase"]
_ClonedBranch = Annotated[
    Branch, describe("The branch to clone; the remote's default unless given, or if it has no such.", "main")
]
_AllBranches = Annotated[bool, describe("Whether to clone every branch, instead of the one alone.", True)]
_Lfs = Annotated[
    bool,
    describe(
        "Whether to do what git-lfs does: contents in the place of pointers, and pointers in commits. The "
        "worker's own setting unless given.",
        True,
    ),
]
_Submodules = Annotated[
    bool | Literal["recursive"],
    describe(
        "Whether to clone submodules too, each at its recorded commit; `recursive`: those of submodules as "
        "well. One that cannot be is left out with a `warning`.",
        "recursive",
    ),
]
_Head = Annotated[Branch, describe("The branch that is to be merged.", "webedt/dark-mode-7c1e2d90")]
_AnyHead = Annotated[
    Head,
    describe("The branch that is to be merged; a fork's is `owner:branch`.", "webedt/dark-mode-7c1e2d90"),
]
_Base = Annotated[Branch, describe("The branch that the pull request is to be merged into.", "main")]
_Title = Annotated[
    Title, describe("The pull request's title; from its commits unless given.", "Add a dark mode toggle")
]
_Body = Annotated[
    str,
    Meta(max_length=65_536),  # what GitHub keeps of one
    describe("The pull request's description; from its commits unless given.", "The toggle is in the menu."),
]

_MOST = 100  # of what is listed
_MOST_PATHS = 1000
_Labels = Annotated[
    tuple[Label, ...],
    Meta(max_length=_MOST),
    describe("Labels to add; one that GitHub refuses is a `warning`.", ["ui"]),
]
_Reviewers = Annotated[
    tuple[Login, ...],
    Meta(max_length=_MOST),
    describe("Who is asked to review, by login; a refusal of the forge's is a `warning`.", ["ada"]),
]
_Assignees = Annotated[
    tuple[Login, ...],
    Meta(max_length=_MOST),
    describe("Who is assigned, by login; a refusal of the forge's is a `warning`.", ["grace"]),
]
_TeamReviewers = Annotated[
    tuple[Team, ...],
    Meta(max_length=_MOST),
    describe(
        "Teams that are asked to review, by slug; a refusal of the forge's is a `warning`.", ["frontend"]
    ),
]
_Milestone = Annotated[
    int, Meta(ge=1, le=2**31 - 1), describe("The milestone's number; a refusal is a `warning`.", 3)
]
_ForgeUrl = Annotated[
    AnyRepositoryUrl,
    describe(
        "The repository, in place of `owner` and `repo`: needed where it is not on the forge of "
        "`GITHUB_API_URL`, and says which of `FORGES` it is on.",
        "https://gitlab.com/acme/web/shop",
    ),
]
_MergeMethod = Annotated[
    MergeMethod,
    describe("How to merge; unless given, a way that the repository and its rules allow.", "squash"),
]
_CommitTitle = Annotated[
    Title, describe("The merge commit's title; the forge's own unless given.", "Dark mode (#42)")
]
_CommitMessage = Annotated[
    Text, describe("The merge commit's other lines; the forge's own unless given.", "Closes #7.")
]
_WaitTimeout = Annotated[
    int,
    Meta(ge=1, le=86_400),
    describe(
        "Seconds to wait for the forge before the job ends in `TIMEOUT`; 30 unless given, or with "
        "`waitForChecks` until the job's time is nearly over.",
        120,
    ),
]


_BaseCommit = Annotated[
    Sha | None,
    describe(
        "The commit to start the branch at, in full: one that the session has or the remote gives out; the "
        "base branch's tip unless given.",
        "5716ca5987cbf97d6bb54920bea6adde242d87e6",
    ),
]


class Author(Struct, rename="camel", frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The author of a commit."""

    name: Annotated[Line, describe("The author's name.", "Ada")]
    email: Annotated[Line, describe("The author's address.", "ada@example.com")]
    time_zone: Annotated[
        TimeZone | None,
        describe(
            "How far the author's clock is from UTC, for the commit's date; UTC unless given.", "+02:00"
        ),
    ] = None

    @property
    def offset(self) -> int:
        """The minutes that the author's clock is ahead of UTC."""
        if self.time_zone is None:
            return 0
        minutes = int(self.time_zone[1:3]) * 60 + int(self.time_zone[4:])
        return -minutes if self.time_zone.startswith("-") else minutes


class CoAuthor(Struct, frozen=True, forbid_unknown_fields=True):
    """Another author of a commit."""

    name: Annotated[Line, describe("The co-author's name.", "Grace")]
    email: Annotated[Line, describe("The co-author's address.", "grace@example.com")]


class NewTag(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A tag to make; an annotated one if it has a message."""

    name: Annotated[Tag, describe("The tag's name.", "v1.2.0")]
    message: Annotated[Text | None, describe("What an annotated tag says.", "Version 1.2.0")] = None


class Request(
    Struct, rename="camel", frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """The body of a `POST`."""

    operation: ClassVar[str]
    result: ClassVar[type[Result]]
    needs_token: ClassVar[bool] = True  # unless the service makes one
    request_id: RequestId | None = None


class CloneRepository(Request, frozen=True, kw_only=True):
    """Clone a repository into a session, or update the one that is there."""

    operation, result = "clone-repository", Cloned
    needs_token = False

    session_id: SessionId
    repo_url: AnyRepositoryUrl
    branch: _ClonedBranch | None = None
    directory: Directory | None = None
    access_token: Token | None = None
    depth: Depth | None = None
    all_branches: _AllBranches = False
    lfs: _Lfs | None = None
    submodules: _Submodules = False

    def __post_init__(self) -> None:
        _check_url(self.repo_url)


class CreateBranch(Request, frozen=True, kw_only=True):
    """Start a branch with a good name in the session, and push it."""

    operation, result = "create-branch", BranchCreated

    session_id: SessionId
    user_request: UserRequest
    base_branch: Annotated[Branch, describe("The branch to start at.", "main")]
    repo_url: AnyRepositoryUrl | None = None
    claude_credentials: ClaudeCredentials | None = None
    access_token: Token | None = msgspec.field(name="githubAccessToken", default=None)
    base_commit: _BaseCommit = None
    lfs: _Lfs | None = None

    def __post_init__(self) -> None:
        if self.repo_url is not None:
            _check_url(self.repo_url)


class CommitAndPush(Request, frozen=True, kw_only=True):
    """Commit everything that changed in the session's repository, and push it."""

    operation, result = "commit-and-push", Committed

    session_id: SessionId
    claude_credentials: ClaudeCredentials | None = None
    access_token: Token | None = msgspec.field(name="githubAccessToken", default=None)
    user_id: Annotated[
        UserId | None,
        describe("The user who asks; the commit says so in `Committed-by:`.", "Ada <ada@example.com>"),
    ] = None
    author: Annotated[
        Author | None,
        describe("The commit's author; the worker itself unless given.", Author("Ada", "ada@example.com")),
    ] = None
    message: Annotated[
        Text | None, describe("The commit's message; made from the changes unless given.", "Fix the login")
    ] = None
    on_secret: Annotated[
        OnSecret | None,
        describe(
            "What to do with credentials in what would be pushed: refuse them, leave their files out of the "
            "commit, or push them; the last two with warnings. The worker's own setting unless given.",
            "leave-out",
        ),
    ] = None
    signing_key: Annotated[
        PrivateKey | None,
        describe(
            "The OpenSSH private key that signs the commit, with which the author is its committer too; the "
            "worker's own unless given, if it has one.",
            "-----BEGIN OPENSSH PRIVATE KEY-----\n…\n-----END OPENSSH PRIVATE KEY-----\n",
        ),
    ] = None
    signing_key_passphrase: Annotated[
        Passphrase | None, describe("What `signingKey` is encrypted with, if it is.", "correct horse battery")
    ] = None
    paths: (
        Annotated[
            tuple[File, ...],
            Meta(min_length=1, max_length=_MOST_PATHS),
            describe(
                "The files and folders to commit, by their names; everything that changed unless given. What "
                "else changed stays in the session, uncommitted.",
                ["src/app.py"],
            ),
        ]
        | None
    ) = None
    sign_off: Annotated[
        bool, describe("Whether the message says `Signed-off-by:` and the committer, as git writes it.", True)
    ] = False
    co_authors: Annotated[
        tuple[CoAuthor, ...],
        Meta(max_length=_MOST),
        describe(
            "Others who wrote it, each a `Co-authored-by:` of the message.",
            [CoAuthor("Grace", "grace@example.com")],
        ),
    ] = ()
    tag: Annotated[
        NewTag | None,
        describe(
            "A tag to make of the branch's tip and to push after it; the job ends in `tag_exists` before "
            "anything is pushed if there is another one of the name.",
            NewTag("v1.2.0", "Version 1.2.0"),
        ),
    ] = None
    dry_run: Annotated[
        bool,
        describe(
            "Whether only to say what would be committed: nothing is pushed, and the session is not saved.",
            True,
        ),
    ] = False
    lfs: _Lfs | None = None


class InitSession(Request, frozen=True, kw_only=True):
    """Clone a repository and start a branch in it, over one download and one upload."""

    operation, result = "init-session", SessionInitialised

    session_id: SessionId
    repo_url: AnyRepositoryUrl
    branch: _ClonedBranch | None = None
    directory: Directory | None = None
    user_request: UserRequest
    claude_credentials: ClaudeCredentials | None = None
    access_token: Token | None = msgspec.field(name="githubAccessToken", default=None)
    depth: Depth | None = None
    all_branches: _AllBranches = False
    base_commit: _BaseCommit = None
    lfs: _Lfs | None = None
    submodules: _Submodules = False

    def __post_init__(self) -> None:
        _check_url(self.repo_url)


class CreatePullRequest(Request, frozen=True, kw_only=True):
    """Open a pull request; `sessionId` stands for owner, repo and head."""

    operation, result = "create-pull-request", PullRequestOpened

    session_id: SessionId | None = None
    owner: Owner | None = None
    repo: RepositoryName | None = None
    head: _AnyHead | None = None
    base: _Base
    title: _Title | None = None
    body: _Body | None = None
    draft: Annotated[bool, describe("Whether to open it as a draft.", True)] = False
    labels: _Labels = ()
    reviewers: _Reviewers = ()
    team_reviewers: _TeamReviewers = ()
    assignees: _Assignees = ()
    milestone: _Milestone | None = None
    update: Annotated[
        bool,
        describe(
            "Whether to give the open one, if there is one, the title and the body of this request, instead "
            "of ending in `PR_EXISTS`.",
            True,
        ),
    ] = False
    maintainer_can_modify: Annotated[
        bool | None, describe("Whether maintainers may push to a fork's branch; the forge decides.", True)
    ] = None
    claude_credentials: ClaudeCredentials | None = None
    access_token: Token | None = msgspec.field(name="githubAccessToken", default=None)
    repo_url: _ForgeUrl | None = None

    def __post_init__(self) -> None:
        _make_one_line(self, "title")
        _check_place(self, head=self.head)


class MergePullRequest(Request, frozen=True, kw_only=True):
    """Merge a pull request; without `mergeMethod`, by one that the repository allows."""

    operation, result = "merge-pull-request", PullRequestMerged

    owner: Owner | None = None
    repo: RepositoryName | None = None
    pull_number: Annotated[int, Meta(ge=1, le=2**31 - 1), describe("The pull request's number.", 42)]
    merge_method: _MergeMethod | None = None
    commit_title: _CommitTitle | None = None
    commit_message: _CommitMessage | None = None
    expected_head: Annotated[
        Sha | None,
        describe(
            "The commit that the pull request must be at to be merged; any unless given.",
            "5716ca5987cbf97d6bb54920bea6adde242d87e6",
        ),
    ] = None
    access_token: Token | None = msgspec.field(name="githubAccessToken", default=None)
    repo_url: _ForgeUrl | None = None

    def __post_init__(self) -> None:
        _make_one_line(self, "commit_title")
        _check_place(self)


class AutoPullRequest(Request, frozen=True, kw_only=True):
    """Take a branch through a pull request into its base; `sessionId` stands for owner, repo and branch."""

    operation, result = "auto-pull-request", PullRequestFinished

    session_id: SessionId | None = None
    owner: Owner | None = None
    repo: RepositoryName | None = None
    branch: _Head | None = None
    base: _Base
    title: _Title | None = None
    body: _Body | None = None
    labels: _Labels = ()
    reviewers: _Reviewers = ()
    assignees: _Assignees = ()
    merge_method: _MergeMethod | None = None
    commit_title: _CommitTitle | None = None
    commit_message: _CommitMessage | None = None
    delete_branch: Annotated[bool, describe("Whether to delete the branch that was merged.", False)] = True
    auto_merge: Annotated[
        bool,
        describe(
            "Whether to leave the merge to the forge, when its rules are met, by its merge queue if it has "
            "one; what can be merged at once is.",
            True,
        ),
    ] = False
    wait_for_checks: Annotated[
        bool,
        describe(
            "Whether to wait for the checks that the base requires or, if it requires none, the branch's.",
            True,
        ),
    ] = False
    wait_timeout: _WaitTimeout | None = None
    claude_credentials: ClaudeCredentials | None = None
    access_token: Token | None = msgspec.field(name="githubAccessToken", default=None)
    repo_url: _ForgeUrl | None = None

    def __post_init__(self) -> None:
        _make_one_line(self, "title")
        _make_one_line(self, "commit_title")
        _check_place(self, branch=self.branch)


class SyncBranch(Request, frozen=True, kw_only=True):
    """Bring the newer commits of a base branch into the session's branch."""

    operation, result = "sync-branch", BranchSynced
    needs_token = False

    session_id: SessionId
    access_token: Token | None = None
    base: Annotated[
        Branch | None,
        describe(
            "The branch whose commits are brought in; the one that the session began at unless given.", "main"
        ),
    ] = None
    method: Annotated[
        SyncMethod,
        describe(
            "How: by a merge, or by a rebase, which is for a branch of which nothing is pushed yet.", "merge"
        ),
    ] = "merge"
    force_with_lease: Annotated[
        bool,
        describe(
            "With `method` rebase: whether to rebase a branch that is pushed too, and push it over what the "
            "session knows to be on the remote, and over nothing else.",
            True,
        ),
    ] = False
    leave_conflicts: Annotated[
        bool,
        describe(
            "With `method` merge: whether to leave conflicts in the session as git leaves them, for the next "
            "commit-and-push to conclude the merge; else they end the job and nothing changes.",
            True,
        ),
    ] = False
    author: Annotated[
        Author | None,
        describe(
            "The merge commit's author; the worker itself unless given.", Author("Ada", "ada@example.com")
        ),
    ] = None
    lfs: _Lfs | None = None

    def __post_init__(self) -> None:
        if self.force_with_lease and self.method != "rebase":
            raise ValueError("`forceWithLease` is for `method` rebase: a merge needs no force")
        if self.leave_conflicts and self.method != "merge":
            raise ValueError("`leaveConflicts` is for `method` merge: a rebase leaves no conflicts")


class SwitchBranch(Request, frozen=True, kw_only=True):
    """Put the session on a branch that it or the remote has, and carry uncommitted work along."""

    operation, result = "switch-branch", BranchSwitched
    needs_token = False

    session_id: SessionId
    branch: Annotated[Branch, describe("The branch to switch to.", "feature/dark-mode")]
    access_token: Token | None = None
    lfs: _Lfs | None = None


class InspectSession(Request, frozen=True, kw_only=True):
    """Say what the session's repository holds that is not pushed; nothing changes, and no remote is asked."""

    operation, result = "inspect-session", SessionInspected
    needs_token = False

    session_id: SessionId
    access_token: Token | None = None
    patch_bytes: (
        Annotated[
            int,
            Meta(ge=1, le=1_048_576),
            describe("How many bytes of the changes to return as a patch; none unless given.", 65_536),
        ]
        | None
    ) = None


def _make_one_line(request: Request, name: str) -> None:
    """Make a request's title one line of at most 256 characters; one without a word is absent."""
    title: str | None = getattr(request, name)
    if title is not None:
        msgspec.structs.force_setattr(request, name, one_line(title))


def _check_url(text: str) -> None:
    try:
        RepositoryUrl.parse(text)
    except ValueError as error:
        raise ValueError(f"`repoUrl` {error}") from None


def _check_place(
    request: CreatePullRequest | MergePullRequest | AutoPullRequest, **branch: str | None
) -> None:
    """Raise ValueError unless a request says its repository, and its branch if it has one, in one way."""
    session_id = None if isinstance(request, MergePullRequest) else request.session_id
    parts = {"owner": request.owner, "repo": request.repo}
    if session_id is not None:
        _refuse_beside("sessionId", {**parts, **branch, "repoUrl": request.repo_url})
        return
    if request.repo_url is not None:
        _check_url(request.repo_url)
        _refuse_beside("repoUrl", parts)
        parts = {}
    missing = [name for name, value in {**parts, **branch}.items() if value is None]
    if missing:
        others = ["`repoUrl`"] if missing[0] in parts else []
        others += [] if isinstance(request, MergePullRequest) else ["`sessionId`"]
        raise ValueError(f"`{missing[0]}` is missing (or {' or '.join(others)} in its place)")


def _refuse_beside(name: str, others: dict[str, str | None]) -> None:
    given = [other for other, value in others.items() if value is not None]
    if given:
        raise ValueError(f"`{given[0]}` and `{name}` are two ways to say one thing: give one of them")

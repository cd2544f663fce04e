// The dashboard of a project, or of all of them: what the first snapshot has decides. Each connection begins with one.
"use strict";

const $ = (id) => document.getElementById(id);
const STAGES = ["red", "green", "refactor"];
const LEVELS = { system: "System", worker: "Workers", stage: "Stages" };
const state = { projects: null, tasks: new Map(), workers: new Map(), circuits: new Map(), runs: new Map() };
let chosen = null, skew = 0, measured = "", drawing = false, measuring = null;

function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag), { data = {}, ...plain } = properties;
  for (const [name, value] of Object.entries(plain)) {
    if (name in made) made[name] = value; else made.setAttribute(name, value);
  }
  Object.assign(made.dataset, data);
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

function fill(list, items, build) { // what has not changed stays, so that focus and scrolling do
  const old = new Map([...list.children].map((child) => [child.print, child]));
  items.forEach((item, place) => {
    const print = JSON.stringify(item);
    const child = old.get(print) ?? Object.assign(build(item), { print });
    if (list.children[place] !== child) list.insertBefore(child, list.children[place] ?? null);
  });
  while (list.children.length > items.length) list.lastChild.remove();
}

const words = (name) => name.replaceAll("_", " ");
const chip = (status) => make("span", { className: "chip", data: { is: status } }, words(status));
const age = (at, before = "") => make("time", { dateTime: at, title: new Date(at).toLocaleString(), data: { before } });
const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
const seconds = (number) => number < 90 ? `${number.toFixed(number < 10 ? 1 : 0)} s` : `${Math.round(number / 60)} min`;
const pullRequest = (run) => run?.pullRequest &&
  make("a", { className: "main", href: run.pullRequest.url, target: "_blank", rel: "noopener" }, `Pull request #${run.pullRequest.number} ↗`);

function tick() {
  for (const time of document.querySelectorAll("time")) {
    const passed = Math.round((Date.now() + skew - Date.parse(time.dateTime)) / 1000), far = Math.abs(passed);
    const long = far < 90 ? `${far} s` : far < 5400 ? `${Math.round(far / 60)} min` : far < 129600 ? `${Math.round(far / 3600)} h` : `${Math.round(far / 86400)} days`;
    time.textContent = `${time.dataset.before}${far < 2 ? "now" : passed < 0 ? `in ${long}` : `${long} ago`}`;
    time.classList.toggle("old", "beat" in time.dataset && passed > 45);
  }
}

function bar(complete, blocked, rest, label) {
  const part = (is, size) => { const made = make("i", { data: { is } }); made.style.flexGrow = size; return made; };
  return make("div", { className: "bar", role: "img", ariaLabel: label }, part("complete", complete), part("blocked", blocked), part("rest", rest));
}

function progress({ total, complete, blocked }) {
  const label = `${complete} of ${count(total, "task")} complete${blocked ? `, ${blocked} blocked` : ""}`;
  return make("div", { className: "progress" }, bar(complete, blocked, total ? total - complete - blocked : 1, label), make("span", {}, label));
}

function stages(task) { // what each of the three has come to
  const at = STAGES.indexOf(task.stage), passing = task.status === "passing" ? 2 : at;
  return STAGES.map((stage, place) => {
    if (task.status === "complete" || place < passing) return [stage, "done"];
    if (place !== at || task.status === "pending") return [stage, "ahead"];
    return [stage, task.status === "blocked" ? "failed" : "running"];
  });
}

function card(task) {
  return make("li", { className: "card", data: { is: task.status } },
    make("button", { id: `task/${task.key}`, className: "title", onclick: () => show(task.key) }, task.title),
    make("ol", { className: "stages" }, ...stages(task).map(([stage, is]) =>
      make("li", { data: { stage, is }, title: `${stage}: ${is}` }, make("span", { className: "unseen" }, `${stage}: ${is}`)))),
    make("p", { className: "meta" }, task.stage && task.status !== "complete" && make("span", {}, make("em", { data: { stage: task.stage } }, task.stage), task.worker && ` by ${task.worker}`),
      task.attempts > 1 && make("span", {}, count(task.attempts, "attempt")), task.commit && task.status === "complete" && make("code", {}, task.commit.slice(0, 7))),
    task.error && make("p", { className: "error" }, task.error),
    task.status === "blocked" && retry(task.key, "card"));
}

const retry = (key, place) => make("button", { id: `retry/${place}/${key}`, onclick: (event) => post(event.target, `tasks/${encodeURIComponent(key)}/retry`, state.tasks) }, "Try again");

function worker({ id, status, task, stage, heartbeatAt }) {
  const time = heartbeatAt && age(heartbeatAt);
  if (time && status !== "stopped") time.dataset.beat = "";
  return make("li", { data: { is: status } }, make("strong", {}, id), chip(status),
    make("span", { className: "what" }, task ? state.tasks.get(task)?.title ?? task : status === "idle" && "waits for a task", stage && make("em", { data: { stage } }, stage)),
    make("span", { className: "meta" }, "♥ ", time ?? "never"));
}

function circuit({ id, level, state: is, failures, retryAt }) {
  const name = id.includes(":") ? id.slice(id.indexOf(":") + 1) : "all work";
  return make("li", { data: { is, level } }, make("strong", {}, name), chip(is),
    make("span", { className: "meta" }, failures ? count(failures, "failure") : "no failure", is === "open" && retryAt && age(retryAt, ", tries again ")),
    (is !== "closed" || failures > 0) && make("button", { id: `reset/${id}`, ariaLabel: `Reset ${id}`, onclick: (event) => post(event.target, `circuits/${encodeURIComponent(id)}/reset`, state.circuits) }, "Reset"));
}

function runHead(run) {
  const runs = [...state.runs.values()];
  const select = runs.length > 1 && make("select", { id: "runs", ariaLabel: "Which run", onchange: (event) => { chosen = event.target.value; draw(); } },
    ...runs.map((each, place) => make("option", { value: each.id, selected: each.id === run.id }, `${place ? "" : "Newest: "}${each.document}, ${each.status}`)));
  return make("div", { data: { is: run.status } },
    make("div", { className: "headline" }, make("h2", {}, run.document), chip(run.status), pullRequest(run), select),
    make("p", { className: "meta" }, make("code", {}, run.repoUrl), run.branch && make("code", {}, run.branch), age(run.startedAt, "started "), run.endedAt && age(run.endedAt, "ended ")),
    run.error && make("p", { className: "error" }, run.error), progress(run.tasks));
}

const noRun = () => make("div", { className: "none" }, make("h2", {}, "No document has been run yet"),
  make("p", {}, "Write down what you want, and watch it become a pull request here:"), make("pre", {}, "python -m examples.tdd_orchestrator run-prd feature.md --repo URL --pr"));

function projectCard(project) {
  const { id, name, status, health, run } = project;
  const open = health && health.circuits.open + health.circuits.halfOpen;
  return make("li", { className: "card", data: { is: status } },
    make("div", { className: "headline" }, make("a", { id: `project/${id}`, className: "title", href: `projects/${encodeURIComponent(id)}/` }, name), chip(status === "running" ? run?.status ?? "idle" : status)),
    make("p", { className: "meta" }, make("code", {}, project.path)),
    run && make("p", { className: "what" }, run.document), run && progress(run.tasks),
    status === "locked" ? make("p", { className: "error" }, "It has another key than this page.") :
    status === "down" ? make("p", { className: "error" }, "It does not answer; it was seen ", age(project.lastSeen)) :
    status === "stopped" && make("p", { className: "meta" }, "It was stopped ", age(project.lastSeen)),
    open ? make("p", { className: "error" }, `${count(open, "circuit")} open`) : null, pullRequest(run));
}

function metric([stage, { passed = 0, failed = 0, sum = 0, timed = 0 }]) {
  const label = `${passed} of ${count(passed + failed, "attempt")}`;
  return make("li", { data: { stage } }, make("strong", {}, stage), bar(passed, failed, 0, label), make("span", { className: "meta" }, label, timed ? `, ${seconds(sum / timed)} each` : ""));
}

function metrics() { // Prometheus' text: tdd_stage_…{stage="red",outcome="passed"} 3
  const found = new Map(STAGES.map((stage) => [stage, {}]));
  for (const [, name, inner, value] of measured.matchAll(/^tdd_stage_(\w+)\{(.*)\} (\S+)$/gm)) {
    const labels = Object.fromEntries([...inner.matchAll(/(\w+)="([^"]*)"/g)].map(([, label, is]) => [label, is]));
    const field = { attempts_total: labels.outcome, seconds_sum: "sum", seconds_count: "timed" }[name], row = found.get(labels.stage);
    if (row && field) row[field] = (row[field] ?? 0) + Number(value);
  }
  return [...found].filter(([, row]) => row.passed || row.failed);
}

function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    const focused = document.activeElement?.id;
    $("overview").hidden = !state.projects;
    $("project").hidden = Boolean(state.projects);
    if (state.projects) fill($("projects"), state.projects, projectCard); else drawProject();
    tick();
    if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus();
  });
}

function drawProject() {
  const runs = [...state.runs.values()], run = state.runs.get(chosen) ?? runs[0];
  const tasks = [...state.tasks.values()].filter((task) => task.runId === run?.id).sort((a, b) => a.phase - b.phase);
  fill($("run"), [{ run, all: runs.map(({ id, status }) => [id, status]) }], () => run ? runHead(run) : noRun());
  for (const column of $("board").children) {
    const those = tasks.filter((task) => task.status === column.dataset.status);
    column.querySelector("b").textContent = those.length;
    fill(column.querySelector("ul"), those, card);
  }
  const busy = (each) => ({ ...each, title: state.tasks.get(each.task)?.title });
  fill($("workers"), [...state.workers.values()].map(busy), worker);
  const part = ({ id }) => id.slice(id.indexOf(":") + 1), rank = (each) => STAGES.indexOf(part(each));
  const circuits = [...state.circuits.values()].sort((a, b) => rank(a) - rank(b) || part(a).localeCompare(part(b), "en", { numeric: true }));
  fill($("circuits"), Object.keys(LEVELS).flatMap((level) => {
    const those = circuits.filter((each) => each.level === level);
    return those.length ? [{ heading: LEVELS[level] }, ...those] : [];
  }), (each) => each.heading ? make("li", { className: "level" }, each.heading) : circuit(each));
  fill($("metrics"), metrics(), metric);
  document.title = run ? `${run.tasks.complete}/${run.tasks.total} ${run.document}` : "TDD orchestrator";
}

async function show(key) {
  const task = await attempt(() => call(`tasks/${encodeURIComponent(key)}`).then((answer) => answer.json()));
  if (!task) return;
  const close = () => $("details").close();
  $("details").dataset.key = key;
  $("details").replaceChildren(make("div", { className: "headline" }, make("h2", { id: "details-title" }, task.title), chip(task.status),
      make("button", { className: "close", ariaLabel: "Close", onclick: close }, "✕")),
    make("p", { className: "meta" }, make("code", {}, task.key), ` phase ${task.phase + 1}`, task.updatedAt && age(task.updatedAt, ", changed ")),
    make("p", { className: "description" }, task.description ?? ""),
    ...task.error ? [make("p", { className: "error" }, task.error)] : [], ...task.status === "blocked" ? [retry(key, "details")] : [],
    make("h3", {}, "What was tried"), make("ol", { className: "history" }, ...task.history.map(tried)),
    task.history.length ? "" : make("p", { className: "hint" }, "Nothing yet."));
  tick();
  if (!$("details").open) $("details").showModal();
}

const outcome = ({ stage, ok }) => stage === "red" ? ok ? "fails as it must" : "does not fail as it must" : ok ? "passes" : "fails";

const tried = (each) => make("li", { data: { stage: each.stage, is: each.ok ? "done" : "failed" } },
  make("p", {}, make("em", { data: { stage: each.stage } }, each.stage), ` attempt ${each.attempt} ${outcome(each)}`,
    each.exitStatus !== null && `, exit status ${each.exitStatus}`, each.seconds !== null && `, ${seconds(each.seconds)}`, each.commit && make("code", {}, each.commit.slice(0, 7)), age(each.at)),
  each.output && make("details", {}, make("summary", {}, "Output"), make("pre", { tabIndex: 0 }, each.output)));

async function call(path, options = {}) {
  for (;;) {
    const key = sessionStorage.getItem("key"), headers = key ? { Authorization: `Bearer ${key}` } : {};
    const answer = await fetch(path, { ...options, headers, cache: "no-store" });
    if (answer.ok) return answer;
    if (answer.status !== 401) throw new Error((await answer.json().catch(() => null))?.error?.message ?? `the server answers ${answer.status}`);
    await askKey(key);
  }
}

function askKey(tried) { // one dialog for all who wait
  if (sessionStorage.getItem("key") !== tried) return Promise.resolve();
  $("wrong").hidden = !tried;
  connection("locked");
  if (!$("ask").open) { $("key").value = ""; $("ask").showModal(); }
  return new Promise((resolve) => $("ask").addEventListener("close", () => {
    if ($("key").value) sessionStorage.setItem("key", $("key").value);
    resolve();
  }, { once: true }));
}

async function attempt(action) {
  try {
    $("alert").hidden = true;
    return await action();
  } catch (error) {
    $("alert").textContent = error instanceof TypeError ? "The server does not answer." : error.message;
    $("alert").hidden = false;
    return null;
  }
}

async function post(button, path, kept) {
  button.disabled = true;
  const changed = await attempt(() => call(path, { method: "POST" }).then((answer) => answer.json()));
  button.disabled = false;
  if (changed) { keep(kept, changed); if ($("details").open) show($("details").dataset.key); }
}

const keep = (kept, item) => { kept.set(item.key ?? item.id, item); draw(); };

function measure() { // soon, and once for all that happens until then
  measuring ??= setTimeout(async () => {
    measuring = null;
    measured = await call("metrics").then((answer) => answer.text(), () => measured);
    draw();
  }, 400);
}

const hear = {
  snapshot({ projects, ...all }) {
    state.projects = projects ?? null;
    for (const [name, items] of Object.entries(all)) state[name] = new Map(items.map((item) => [item.key ?? item.id, item]));
    connection("live");
    draw();
    if (!projects) measure();
  },
  task_status_changed(task) {
    if (state.tasks.get(task.key)?.status !== task.status) $("said").textContent = `${task.title}: ${words(task.status)}`;
    keep(state.tasks, task);
    measure();
    if ($("details").open && $("details").dataset.key === task.key) show(task.key);
  },
  worker_heartbeat: (worker) => keep(state.workers, worker),
  circuit_state_changed: (circuit) => keep(state.circuits, circuit),
  run_changed(run) {
    if (!state.runs.has(run.id)) state.runs = new Map([[run.id, run], ...state.runs]); // newest first
    keep(state.runs, run);
  },
  run_completed: (run) => hear.run_changed(run),
};

function connection(is, why = "") {
  $("connection").dataset.state = is;
  $("connection").textContent = is;
  $("connection").title = why;
}

async function listen() { // until the connection ends, or nothing came for longer than three of the server's pings
  const stop = new AbortController();
  let watch, text = "";
  const alive = () => { clearTimeout(watch); watch = setTimeout(() => stop.abort(), 50_000); };
  try {
    alive();
    const answer = await call("events", { signal: stop.signal });
    skew = Date.parse(answer.headers.get("date")) - Date.now() || 0;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      alive();
      const { value, done } = await reader.read();
      if (done) return;
      const messages = (text + value).split(/\r?\n\r?\n/);
      text = messages.pop();
      for (const message of messages) {
        const field = (name) => [...message.matchAll(new RegExp(`^${name}: ?(.*)$`, "gm"))].map((line) => line[1].trim()).join("\n");
        hear[field("event")]?.(JSON.parse(field("data")));
      }
    }
  } finally {
    clearTimeout(watch);
  }
}

async function start() {
  setInterval(tick, 1000);
  call("health").then((answer) => answer.json()).then(({ project }) => { if (project) $("name").textContent = project; }, () => {});
  if (/\/projects\/[^/]+\/$/.test(location.pathname)) select();
  for (let failures = 0; ; failures++) {
    const why = await listen().catch((error) => error.message);
    if ($("connection").dataset.state === "live") failures = 0;
    connection("reconnecting", why);
    await new Promise((resolve) => { setTimeout(resolve, Math.min(5000, 300 * 2 ** failures)); addEventListener("online", resolve, { once: true }); });
  }
}

async function select() { // the other projects, where this page is behind the aggregator
  const { projects } = await call("../../projects").then((answer) => answer.json());
  const here = decodeURIComponent(location.pathname.split("/").at(-2));
  $("selector").replaceChildren(make("option", { value: "../../" }, "All projects"),
    ...projects.map(({ id, status }) => make("option", { value: `../${encodeURIComponent(id)}/`, selected: id === here }, status === "running" ? id : `${id}, ${status}`)));
  $("selector").addEventListener("change", (event) => location.assign(event.target.value));
  $("selector").hidden = false;
  $("name").className = "unseen";
}

start();

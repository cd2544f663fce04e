// A window on a session: what is typed goes up as edits, what others type comes down. `move` is that of document.py.
"use strict";

const state = document.getElementById("state");
const area = document.getElementById("text");
const files = new Map(); // path: {base, version, sent}: what the server has of it, and the edits that are on their way
const session = location.pathname.split("/").pop();
const me = crypto.randomUUID();
let open = null, socket = null, count = 0, typed = new Map(); // typed: the whole text of each file as it is seen here

const letters = (text) => Array.from(text); // by code points, as the server counts
const apply = (text, edit) => {
  const all = letters(text);
  all.splice(edit.position, edit.removed, ...letters(edit.text));
  return all.join("");
};

function difference(before, after) {
  const a = letters(before), b = letters(after), shorter = Math.min(a.length, b.length);
  let start = 0, end = 0;
  while (start < shorter && a[start] === b[start]) start++;
  while (end < shorter - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  return { position: start, removed: a.length - start - end, text: b.slice(start, b.length - end).join("") };
}

function move(edit, other, first) {
  const written = letters(other.text).length, grown = written - other.removed;
  const end = edit.position + edit.removed, otherEnd = other.position + other.removed;
  let place = edit.position + grown;
  if (edit.position < other.position || (edit.position === other.position && first)) place = edit.position;
  else if (edit.position <= otherEnd) place = other.position + written;
  const left = [edit.position, Math.min(end, other.position)];
  const right = [Math.max(edit.position, otherEnd) + grown, end + grown];
  const pieces = [right, left].filter(([from, to]) => from < to).map(([from, to]) => ({ position: from, removed: to - from, text: "" }));
  const same = pieces.find((piece) => piece.position === place);
  if (same) same.text = edit.text;
  else if (edit.text || !pieces.length) {
    const later = pieces.filter((piece) => piece.position > place).length;
    pieces.splice(later, 0, { position: place, removed: 0, text: edit.text });
  }
  return pieces;
}

function transform(ours, theirs) {
  let done = [];
  for (const edit of ours) {
    let pieces = [edit], later = [];
    for (const other of theirs) {
      let others = [other], moved = [];
      for (const piece of pieces) {
        if (others.length === 1) {
          moved.push(...move(piece, others[0], false));
          others = move(others[0], piece, true);
        } else {
          const [some, rest] = transform([piece], others);
          moved.push(...some);
          others = rest;
        }
      }
      pieces = moved;
      later.push(...others);
    }
    done.push(...pieces);
    theirs = later;
  }
  return [done, theirs];
}

const send = (message) => socket.send(JSON.stringify(message));

function offer(path) { // one edit is on its way at a time; what is typed meanwhile follows it
  const file = files.get(path);
  if (file.sent || socket.readyState !== WebSocket.OPEN) return;
  const edit = difference(file.base, typed.get(path));
  if (!edit.removed && !edit.text) return;
  file.sent = [edit];
  file.number = ++count;
  state.textContent = "saving";
  send({ type: "edit", path, number: count, version: file.version, ...edit });
}

function show(path, text) {
  if (path !== open || area.value === text) return typed.set(path, text);
  const edit = difference(area.value, text), end = edit.position + edit.removed;
  const kept = (n) => n <= edit.position ? n : n >= end ? n + edit.text.length - edit.removed : edit.position;
  const [from, to, top] = [kept(area.selectionStart), kept(area.selectionEnd), area.scrollTop];
  area.value = text;
  area.setSelectionRange(from, to);
  area.scrollTop = top;
  typed.set(path, text);
}

const hear = {
  files({ paths, you }) {
    document.querySelector("h1").textContent = `${session} as ${you}`;
    document.getElementById("files").replaceChildren(...paths.map((path) => {
      const item = document.createElement("li"), button = document.createElement("button");
      button.textContent = path;
      button.addEventListener("click", () => choose(path));
      item.append(button);
      return item;
    }));
    state.textContent = "connected";
    for (const path of new Set([...files.keys(), ...(open ? [open] : [])])) send({ type: "open", path });
  },
  file({ path, version, text, applied }) { // also after a lost connection: what was typed meanwhile is kept
    const file = files.get(path);
    if (file?.sent && file.number <= applied) file.base = file.sent.reduce(apply, file.base);
    const [later] = file ? transform([difference(file.base, typed.get(path))], [difference(file.base, text)]) : [[]];
    files.set(path, { base: text, version, sent: null });
    show(path, later.reduce(apply, text));
    if (path === open) area.disabled = false;
    offer(path);
  },
  edit(edit) {
    const file = files.get(edit.path);
    if (!file || edit.version <= file.version) return;
    file.version = edit.version;
    if (file.mine) { // ours, as the server has it
      file.base = apply(file.base, edit);
      if (edit.last) file.sent = file.mine = null;
    } else {
      const local = difference(file.base, typed.get(edit.path));
      const [later] = transform(local.removed || local.text ? [local] : [], [edit]);
      if (file.sent) [file.sent] = transform(file.sent, [edit]);
      file.base = apply(file.base, edit);
      show(edit.path, later.reduce(apply, file.base));
    }
    offer(edit.path);
  },
  taken({ path }) { files.get(path).mine = true; },
  saved({ path, version }) { if (files.get(path)?.version === version) state.textContent = "saved"; },
  unsaved({ reason }) { state.textContent = `not saved yet: ${reason}`; },
  committed({ message, problem }) { state.textContent = problem ? `committed, not pushed: ${problem}` : `committed: ${message.trim()}`; },
  refused({ reason }) { state.textContent = reason; },
};

function choose(path) {
  open = path;
  for (const button of document.querySelectorAll("nav button")) {
    if (button.textContent === path) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
  area.disabled = !files.has(path);
  area.value = typed.get(path) ?? "";
  if (!files.has(path)) send({ type: "open", path });
}

function connect() {
  socket = new WebSocket(`${location.origin.replace("http", "ws")}/ws/${session}`);
  socket.addEventListener("open", () => send({ type: "hello", token: location.hash.slice(1), window: me }));
  socket.addEventListener("message", ({ data }) => { const message = JSON.parse(data); hear[message.type](message); });
  socket.addEventListener("close", ({ code, reason }) => {
    state.textContent = code === 1008 ? reason : "connecting again";
    if (code !== 1008) setTimeout(connect, 500);
  });
}

area.addEventListener("input", () => { typed.set(open, area.value); offer(open); });
connect();

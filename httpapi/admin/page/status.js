"use strict";
// The page is told everything once a second by server-sent events, and keeps 15 minutes of points.
const kept = 900, staleAfter = 5000;
const actions = document.querySelector("main").dataset.actions === "true";
const id = name => document.getElementById(name);
let points = [], lastNews = Date.now();

function make(tag, text, attributes) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  for (const name in attributes) e.setAttribute(name, attributes[name]);
  return e;
}

function age(since) {
  const s = Math.max(0, Math.round((Date.now() - new Date(since)) / 1000));
  if (s < 120) return s + " s";
  if (s < 7200) return Math.round(s / 60) + " min";
  if (s < 172800) return Math.round(s / 3600) + " h";
  return Math.round(s / 86400) + " d";
}

const round = n => n >= 100 ? Math.round(n) : n >= 10 ? n.toFixed(1) : n.toFixed(n ? 2 : 0);
const ms = s => s ? round(s * 1000) + " ms" : "–";

function chart(svg, lines) {
  const top = Math.max(1e-9, ...lines.flatMap(l => l.values)) * 1.1, ns = "http://www.w3.org/2000/svg";
  const parts = lines.map(l => {
    const path = document.createElementNS(ns, "path");
    path.setAttribute("class", l.name);
    path.setAttribute("d", l.values.map((v, i) => (i ? "L" : "M") + (600 * (kept - l.values.length + i) / kept).toFixed(1) + " " + (138 - 130 * v / top).toFixed(1)).join(""));
    return path;
  });
  svg.replaceChildren(...parts);
  id(svg.id + "Top").textContent = round(top);
}

function verb(name, label, smsc) {
  const form = make("form", undefined, {method: "post", action: "/status/" + name});
  form.append(make("input", undefined, {type: "hidden", name: "smsc", value: smsc}), make("button", label));
  return form;
}

function row(cells) {
  const tr = make("tr");
  for (const c of cells) {
    const td = make("td");
    td.append(c instanceof Node ? c : String(c ?? ""));
    tr.append(td);
  }
  return tr;
}

let shown = ""; // the binds as they are on the page: buttons keep the focus while nothing changes
function showBinds(s) {
  const stopped = s.stoppedSmscs || [];
  const seen = new Set();
  const rows = (s.binds || []).map(b => {
    const first = !seen.has(b.smsc);
    seen.add(b.smsc);
    const state = make("span", b.state, {class: b.state === "bound" ? "" : "bad"});
    return [b.smsc, b.name, b.kind, state, age(b.since), b.inFlight + "/" + b.window, b.peer, b.lastError, actions && first ? verb("stop", "Drain", b.smsc) : ""];
  }).concat(stopped.map(name => [name, "", "", make("span", "stopped", {class: "bad"}), "", "", "", "", actions ? verb("start", "Start", name) : ""]));
  const now = JSON.stringify([(s.binds || []).map(b => [b.smsc, b.name, b.state, b.inFlight, b.lastError, age(b.since)]), stopped]);
  if (now !== shown) id("binds").replaceChildren(...rows.map(row));
  shown = now;
}

function showCounts(name, counts) {
  id(name).replaceChildren(...(counts || []).slice(0, 12).map(c => {
    const tr = row([c.name, c.count]);
    tr.lastChild.className = "number";
    return tr;
  }));
}

function show(f) {
  const s = f.status;
  points = points.concat(f.points).slice(-kept);
  const p = points.at(-1);
  id("version").textContent = s.version + " · up " + age(s.started);
  id("state").textContent = s.ready ? s.state : s.state + ", not ready";
  id("state").className = s.ready ? "badge" : "badge bad";
  document.title = "otpgw: " + id("state").textContent;
  id("failing").replaceChildren(...(s.failing || []).map(x => make("li", x.name + ": " + x.reason)));
  id("config").textContent = s.config.file ? s.config.file + ", in force for " + age(s.config.loadedAt) +
    (s.config.error ? "; the last reload was refused: " + s.config.error : "") + (s.config.needsRestart ? "; needs a restart: " + s.config.needsRestart.join(", ") : "") : "built-in configuration";
  id("config").className = s.config.error ? "bad" : "soft";
  showBinds(s);
  if (actions) { id("pause").hidden = s.state !== "running"; id("resume").hidden = s.state !== "paused"; }
  if (p) {
    for (const name of ["sent", "verified", "failed", "inFlight"]) id(name).textContent = round(p[name]);
    for (const name of ["sendP99", "checkP99"]) id(name).textContent = ms(p[name]);
    const total = name => points.reduce((sum, x) => sum + x[name], 0), sent = total("sent");
    id("conversion").textContent = sent ? Math.round(100 * total("verified") / sent) + " %" : "–";
    const line = (name, key, scale) => ({name, values: points.map(x => x[key] * scale)});
    chart(id("rates"), [line("a", "sent", 1), line("b", "verified", 1), line("c", "refused", 1)]);
    chart(id("times"), [line("a", "sendP99", 1000), line("b", "checkP99", 1000)]);
  }
  for (const name of ["codes", "submits", "receipts", "refusals", "limits"]) showCounts(name, f.tables[name]);
}

const source = new EventSource(location.origin + "/status/events");
source.onmessage = e => { lastNews = Date.now(); id("stale").hidden = true; show(JSON.parse(e.data)); };
source.onopen = () => { points = []; };
setInterval(() => { id("stale").hidden = Date.now() - lastNews < staleAfter; }, 1000);

id("search").addEventListener("submit", async e => {
  e.preventDefault();
  const out = id("found");
  out.replaceChildren(make("p", "…"));
  try {
    const resp = await fetch(location.origin + "/status/trace?query=" + encodeURIComponent(id("query").value.trim()));
    if (!resp.ok) { out.replaceChildren(make("p", await resp.text(), {class: "bad"})); return; }
    out.replaceChildren(...(await resp.json()).flatMap(t => {
      const table = make("table");
      table.append(...t.steps.map(s => row([new Date(s.at).toISOString().slice(11, 23), s.what, s.detail])));
      return [make("p", t.authenticationId + "  client " + t.client + "  to " + t.number + "  " + t.state.toUpperCase() + (t.correlator ? "  x-correlator " + t.correlator : "")), table];
    }));
  } catch (err) {
    out.replaceChildren(make("p", String(err), {class: "bad"}));
  }
});

"use strict";
// The page is told everything once a second by server-sent events, and keeps 15 minutes of points.
const kept = 900, least = 60, staleAfter = 5000, sureFor = 4000;
const actions = document.querySelector("main").dataset.actions === "true";
const id = name => document.getElementById(name);
let points = [], lastNews = Date.now();

function make(tag, text, attributes) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  for (const name in attributes) e.setAttribute(name, attributes[name]);
  return e;
}

function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 120) return s + " s";
  if (s < 7200) return Math.round(s / 60) + " min";
  if (s < 172800) return Math.round(s / 3600) + " h";
  return Math.round(s / 86400) + " d";
}

const age = since => span((Date.now() - new Date(since)) / 1000);
const round = n => Number.isInteger(n) ? String(n) : n >= 100 ? Math.round(n) : n >= 10 ? n.toFixed(1) : n.toFixed(2);
const ms = s => s ? round(s * 1000) + " ms" : "–";
const share = (part, whole) => whole ? Math.round(100 * Math.min(1, part / whole)) + " %" : "–";

function octets(n) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (n < 1024) return (unit === "B" ? n : n.toFixed(1)) + " " + unit;
    n /= 1024;
  }
  return n.toFixed(1) + " TiB";
}

function chart(svg, lines) {
  const width = Math.max(least, points.length); // the chart grows with what there is to show
  const top = Math.max(1e-9, ...lines.flatMap(l => l.values)) * 1.1, ns = "http://www.w3.org/2000/svg";
  const draw = (name, d) => {
    const path = document.createElementNS(ns, "path");
    path.setAttribute("class", name);
    path.setAttribute("d", d);
    return path;
  };
  const grid = draw("grid", "M0 8H600M0 73H600M0 138H600M200 8V138M400 8V138");
  svg.replaceChildren(grid, ...lines.map(l => draw(l.name, l.values.map((v, i) =>
    (i ? "L" : "M") + (600 * (width - l.values.length + i) / (width - 1)).toFixed(1) + " " + (138 - 130 * v / top).toFixed(1)).join(""))));
  svg.closest("figure").querySelector(".begin").textContent = span(width) + " ago";
  id(svg.id + "Top").textContent = top > 1e-8 ? round(top) : "0";
}

function verb(name, label, smsc) {
  const form = make("form", undefined, {method: "post", action: "/status/" + name, class: name === "stop" ? "sure" : ""});
  form.append(make("input", undefined, {type: "hidden", name: "smsc", value: smsc}), make("button", label));
  return form;
}

function row(cells, numbers) {
  const tr = make("tr");
  cells.forEach((c, i) => {
    const td = make("td");
    td.append(c instanceof Node ? c : String(c ?? ""));
    if (numbers.includes(i)) td.className = "number";
    tr.append(td);
  });
  return tr;
}

// fill puts rows into a table only where they differ from what it shows, so that buttons keep the focus and selections stay.
const shown = {};
function fill(name, rows, numbers, build) {
  const now = JSON.stringify(rows);
  if (now === shown[name]) return;
  shown[name] = now;
  id(name).replaceChildren(...rows.map(r => row(build ? build(r) : r, numbers)));
}

const tint = (text, bad) => make("span", text, {class: bad ? "bad" : ""});

function showSMSCs(s, t) {
  const stopped = s.stoppedSmscs || [], binds = s.binds || [];
  const names = [...new Set(binds.map(b => b.smsc).concat(stopped))];
  const rows = names.map(name => {
    const own = binds.filter(b => b.smsc === name), up = own.filter(b => b.state === "bound").length;
    const f = (t.smscs || []).find(x => x.smsc === name) || {};
    const is = stopped.includes(name);
    return [name, is ? own.length ? "stopping" : "stopped" : up + " of " + own.length + " bound", f.rate || "–", f.accepted ?? "–", f.failed ?? "–", f.throttled ?? "–", is, up === own.length];
  });
  fill("smscs", rows, [2, 3, 4, 5], r => [...r.slice(0, 1), tint(r[1], r[6] || !r[7]), ...r.slice(2, 6),
    actions ? r[6] ? verb("start", "Start", r[0]) : verb("stop", "Drain", r[0]) : ""]);
  fill("binds", binds.map(b => {
    const f = (t.binds || []).find(x => x.smsc === b.smsc && x.name === b.name) || {};
    return [b.smsc, b.name, b.kind, b.state, age(b.since), b.inFlight + "/" + b.window, ms(f.answerP99), f.ended ?? "–", b.peer, b.lastError];
  }), [5, 6, 7], r => r.map((c, i) => i === 3 ? tint(c, c !== "bound") : c));
}

function showClients(s, t) {
  const counted = t.clients || [];
  const order = (s.clients || []).slice().sort((a, b) => {
    const of = c => counted.find(x => x.id === c.id)?.sent || 0;
    return of(b) - of(a);
  });
  fill("clients", order.slice(0, 100).map(c => {
    const f = counted.find(x => x.id === c.id) || {};
    const refused = (f.refused || []).slice(0, 4).map(r => r.name + " " + r.count).join(", ");
    return [c.enabled ? c.id : c.id + " (disabled)", c.rate || "–", round(f.perSecond || 0), f.sent || 0, f.verified || 0, share(f.verified, f.sent), refused];
  }), [1, 2, 3, 4, 5]);
}

function issuer(i) {
  const keys = i.kind === "opaque" ? "answers" : i.fetched ? "keys: " + i.keys + ", " + age(i.fetched) + " old" : "no keys yet";
  return i.away ? "away for " + age(i.away) + (i.fetched ? ", " + keys : "") : keys;
}

function sink(k) {
  return (k.stopped ? "stopped (410) for " + age(k.away) + ", " : k.away ? "away for " + age(k.away) + ", " : "") + k.waiting + " waiting";
}

function showAccess(s, t) {
  const until = time => time ? span((new Date(time) - Date.now()) / 1000) : "–";
  fill("auth", [["tokens", s.auth.tokens], ["expired", s.auth.expired], ["next expires in", until(s.auth.nextExpiry)],
    ["certificate expires in", s.auth.certificate ? until(s.auth.certificate) : "no TLS"],
    ...(s.auth.issuers || []).map(i => ["issuer " + i.name, issuer(i), !i.usable || i.away]), ...(s.sinks || []).map(k => ["sink " + k.name, sink(k), k.away])],
    [1], r => [r[0], tint(r[1], r[2])]);
  fill("store", [["numbers", t.store?.records ?? "–"], ["commit p99", ms(t.store?.commitP99)], ["size", octets(s.store.size)],
    ["disk left", s.store.disk ? octets(s.store.free) + ", " + share(s.store.free, s.store.disk) : "–"]], [1]);
}

function show(f) {
  const s = f.status, t = f.tables;
  points = points.concat(f.points).slice(-kept);
  const p = points.at(-1);
  id("version").textContent = s.version + " · up " + age(s.started);
  id("state").textContent = s.ready ? s.state : s.state + ", not ready";
  id("state").className = s.ready ? "badge" : "badge bad";
  document.title = "otpgw: " + id("state").textContent;
  const failing = (s.failing || []).map(x => x.name + ": " + x.reason).concat(s.trouble || []);
  if (id("failing").innerText !== failing.join("\n")) id("failing").replaceChildren(...failing.map(x => make("li", x)));
  id("config").textContent = s.config.file ? s.config.file + ", in force for " + age(s.config.loadedAt) +
    (s.config.error ? "; the last reload was refused: " + s.config.error : "") + (s.config.needsRestart ? "; needs a restart: " + s.config.needsRestart.join(", ") : "") : "built-in configuration";
  id("config").className = s.config.error ? "bad" : "soft";
  showSMSCs(s, t);
  showClients(s, t);
  showAccess(s, t);
  if (actions) { id("pause").hidden = s.state !== "running"; id("resume").hidden = s.state !== "paused"; }
  if (p) {
    for (const name of ["sent", "submitted", "verified", "failed", "queue", "inFlight"]) id(name).textContent = round(p[name]);
    for (const name of ["sendP99", "checkP99"]) id(name).textContent = ms(p[name]);
    id("oldest").textContent = p.oldest ? round(p.oldest) + " s" : "–";
    const total = name => points.reduce((sum, x) => sum + x[name], 0);
    id("conversion").textContent = share(total("verified"), total("sent"));
    id("delivered").textContent = share(total("promptly"), total("submitted"));
    const line = (name, key, scale) => ({name, values: points.map(x => x[key] * scale)});
    chart(id("rates"), [line("c", "refused", 1), line("b", "verified", 1), line("a", "sent", 1)]);
    chart(id("times"), [line("b", "checkP99", 1000), line("a", "sendP99", 1000)]);
  }
  for (const name of ["codes", "submits", "receipts", "errors", "refusals", "limits"])
    fill(name, t[name]?.length ? t[name].slice(0, 12).map(c => [c.name, c.count]) : [["none", ""]], [1]);
  fill("events", (s.events || []).map(e => [new Date(e.at).toISOString().slice(0, 19).replace("T", " "), e.level, e.text]), [],
    r => [r[0], tint(r[1], r[1] === "warn" || r[1] === "error"), r[2]]);
}

const source = new EventSource(location.origin + "/status/events");
source.onmessage = e => { lastNews = Date.now(); id("stale").hidden = true; show(JSON.parse(e.data)); };
source.onopen = () => { points = []; };
setInterval(() => { id("stale").hidden = Date.now() - lastNews < staleAfter; }, 1000);

// What takes something away is asked for twice.
document.addEventListener("submit", e => {
  const form = e.target, button = form.querySelector("button");
  if (!form.classList.contains("sure") || form.dataset.asked) return;
  e.preventDefault();
  form.dataset.asked = "true";
  const label = button.textContent;
  button.textContent = "Sure?";
  setTimeout(() => { delete form.dataset.asked; button.textContent = label; }, sureFor);
});

document.addEventListener("keydown", e => {
  if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || e.target.tagName === "INPUT") return;
  e.preventDefault();
  id("query").focus();
});

id("search").addEventListener("submit", async e => {
  e.preventDefault();
  const out = id("found");
  out.replaceChildren(make("p", "…"));
  try {
    const resp = await fetch(location.origin + "/status/trace?query=" + encodeURIComponent(id("query").value.trim()));
    if (!resp.ok) { out.replaceChildren(make("p", await resp.text(), {class: "bad"})); return; }
    out.replaceChildren(...(await resp.json()).flatMap(t => {
      const table = make("table");
      table.append(...t.steps.map(s => row([new Date(s.at).toISOString().slice(11, 23), s.what, s.detail], [])));
      return [make("p", t.authenticationId + "  client " + t.client + "  to " + t.number + "  " + t.state.toUpperCase() + (t.correlator ? "  x-correlator " + t.correlator : "")), table];
    }));
  } catch (err) {
    out.replaceChildren(make("p", String(err), {class: "bad"}));
  }
});

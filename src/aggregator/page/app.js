"use strict";
// Shows what /v1/stream and /v1/status say. Text goes in as text, never as markup, and nothing but our own paths is asked.

const POINTS = 120; // of a sparkline
const quotes = new Map(); // symbol -> {quote, epoch, seq, skipped, points, card}
const $ = (id) => document.getElementById(id);
let chosen = "";
let source = "broker_down";
let skew = 0; // the server's clock less ours, ms

const now = () => Date.now() + skew;

function element(name, text, attributes = {}) {
  const e = document.createElement(name);
  if (text !== "") e.textContent = text;
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  return e;
}

function svg(name, attributes) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  return e;
}

// quality says how far a price can be trusted, what this page itself can see included.
function quality(q) {
  if (source === "lost") return { state: "stale", reason: "core_lost" };
  if (source === "broker_down") return { state: "stale", reason: "broker_down" };
  if (source === "cut") return { state: "stale", reason: "no_connection" };
  if (source === "recovering") return { state: "stale", reason: "broker_recovering" }; // it waits for core: what is shown is of before
  return q.quality || { state: "stale", reason: "unknown" };
}

function age(q) {
  const ms = Math.max(0, now() - Date.parse(q.received || q.timestamp));
  if (!Number.isFinite(ms)) return "of unknown age";
  if (ms < 1000) return Math.round(ms / 100) * 100 + " ms old";
  if (ms < 120000) return (ms / 1000).toFixed(ms < 10000 ? 1 : 0) + " s old";
  return Math.round(ms / 60000) + " min old";
}

function line(points, width, height) {
  if (points.length < 2) return "";
  const low = Math.min(...points), span = Math.max(...points) - low || 1;
  return points.map((p, i) => `${(i * width / (points.length - 1)).toFixed(1)},${(height - 2 - (p - low) / span * (height - 4)).toFixed(1)}`).join(" ");
}

function card(symbol) {
  const root = element("div", "", { class: "quote", role: "option", "aria-selected": "false", tabindex: quotes.size === 0 ? "0" : "-1", "data-symbol": symbol });
  const spark = svg("svg", { viewBox: "0 0 120 28", preserveAspectRatio: "none", "aria-hidden": "true" });
  const path = svg("polyline", { points: "" });
  spark.append(path);
  const parts = { root, path, price: element("span", "–", { class: "price" }), book: element("small", ""), state: element("small", "") };
  root.append(element("b", symbol), parts.price, parts.book, spark, parts.state);
  root.addEventListener("click", () => choose(symbol));
  const after = [...$("quotes").children].find((e) => e.dataset.symbol > symbol);
  $("quotes").insertBefore(root, after || null);
  return parts;
}

function onQuote(e) {
  const { topic, epoch, seq, payload } = JSON.parse(e.data);
  const symbol = payload.symbol;
  if (topic !== "quotes." + symbol) return;
  let k = quotes.get(symbol);
  if (!k) {
    k = { points: [], skipped: 0, card: card(symbol) };
    quotes.set(symbol, k);
    if (!chosen) choose(symbol);
  } else if (k.epoch === epoch && seq > k.seq + 1) {
    k.skipped += seq - k.seq - 1;
  }
  Object.assign(k, { quote: payload, epoch, seq });
  const price = Number(payload.price); // for the curve only: the digits shown are the venue's
  if (Number.isFinite(price) && payload.quality && payload.quality.state === "live") {
    k.points.push(price);
    if (k.points.length > POINTS) k.points.shift();
    k.card.path.setAttribute("points", line(k.points, 120, 28));
  }
  if (symbol === chosen) drawChart();
  drawQuote(k);
}

function drawQuote(k) {
  const q = quality(k.quote);
  const words = q.state + (q.reason ? " · " + q.reason : "") + " · " + age(k.quote);
  k.card.root.dataset.state = q.state;
  k.card.price.textContent = k.quote.price || "–";
  k.card.book.textContent = (k.quote.bid || "–") + " / " + (k.quote.ask || "–");
  k.card.state.textContent = words;
  k.card.root.setAttribute("aria-label", `${k.quote.symbol} ${k.quote.price || ""}, ${q.state} ${q.reason || ""}`);
}

function choose(symbol) {
  chosen = symbol;
  for (const e of $("quotes").children) e.setAttribute("aria-selected", String(e.dataset.symbol === symbol));
  drawChart();
  fetch("/v1/history?kinds=trades&order=desc&limit=120&symbol=" + encodeURIComponent(symbol))
    .then((r) => r.ok ? r.json() : null)
    .then((page) => {
      const k = quotes.get(symbol);
      if (!page || !k || k.points.length >= POINTS / 2) return;
      const older = page.records.map((r) => Number(r.payload.price)).filter(Number.isFinite).reverse();
      k.points = older.concat(k.points).slice(-POINTS);
      k.card.path.setAttribute("points", line(k.points, 120, 28));
      if (symbol === chosen) drawChart();
    })
    .catch(() => {}); // the curve grows from the stream alone
}

function drawChart() {
  const k = quotes.get(chosen);
  if (!k) return;
  $("chart").replaceChildren(svg("polyline", { points: line(k.points, 600, 220) }));
  const low = Math.min(...k.points), high = Math.max(...k.points);
  const words = k.points.length < 2 ? `${chosen}: waiting for prices` : `${chosen}: ${k.points.length} prices, ${low} to ${high}` + (k.skipped ? `, ${k.skipped} updates conflated` : "");
  $("chart").setAttribute("aria-label", words);
  $("chart-text").textContent = words;
}

// banner says the worst of what is shown.
function banner() {
  let state = "connecting", reason = "";
  const all = [...quotes.values()].map((k) => quality(k.quote));
  const worst = all.find((q) => q.state === "stale") || all.find((q) => q.state === "recovering") || all[0];
  if (worst) ({ state, reason = "" } = worst);
  else if (source === "cut") state = "lost";
  const words = state + (reason ? " · " + reason : "");
  if ($("banner").textContent !== words) $("banner").textContent = words;
  $("banner").dataset.state = state;
}

const told = new Set();

function transition(t) {
  const key = [t.breaker, t.at, t.to].join();
  if (told.has(key) || t.breaker !== "exchange") return;
  told.add(key);
  const c = t.counts || {};
  const item = element("li", `${String(t.at).slice(11, 23)} ${t.from} → ${t.to}: ${t.rule} (${c.failures ?? 0} of ${c.calls ?? 0} failed)`, { "data-at": t.at });
  const list = $("timeline");
  const before = [...list.children].find((e) => e.dataset.at < t.at);
  list.insertBefore(item, before || null);
  while (list.children.length > 50) list.lastChild.remove();
  if (list.firstChild === item) showBreaker(t.to);
}

function showBreaker(state) {
  $("breaker").textContent = state;
  $("breaker").dataset.state = state;
}

function onStatus(s) {
  $("processes").replaceChildren(...s.processes.map((p) => {
    const item = element("li", "", { "data-process": p.name });
    const extra = p.error ? p.error : p.status ? [p.status.version, p.ms ? p.ms.toFixed(1) + " ms" : ""].filter(Boolean).join(" · ") : "";
    const peers = element("small", "", { class: "peers" });
    for (const q of (p.status && p.status.peers) || []) peers.append(element("span", "→ " + q.name, { "data-state": q.state === "up" ? "up" : "down", title: q.name + " is " + q.state }));
    item.append(element("b", p.name), element("span", extra, { class: "dim" }), element("span", p.state, { class: "pill", "data-state": p.state === "up" || p.state === "down" ? p.state : "unknown" }));
    if (peers.children.length) item.append(peers);
    return item;
  }));
  $("coverage").textContent = (s.coverage * 100).toFixed(s.coverage < 1 ? 1 : 0) + " %";
  if ($("slots").children.length !== s.slots.length) $("slots").replaceChildren(...s.slots.map(() => element("i", "")));
  s.slots.forEach((slot, i) => {
    const cell = $("slots").children[i];
    cell.dataset.in = slot.in_sync.length >= slot.owners.length ? "2" : slot.in_sync.length ? "1" : "0";
    cell.title = `slot ${slot.slot}: ${slot.owners.join(", ")}; in sync: ${slot.in_sync.join(", ") || "none"}`;
  });
  $("slots").setAttribute("aria-label", `256 slots, coverage ${$("coverage").textContent}`);
  const core = s.processes.find((p) => p.name === "core");
  const breakers = (core && core.status && core.status.breakers) || [];
  const mine = breakers.find((b) => b.name === "exchange");
  if (mine) {
    (mine.transitions || []).forEach(transition);
    showBreaker(mine.state);
  } else if (!core || core.state !== "up") showBreaker("unknown");
  const broker = s.processes.find((p) => p.name === "broker");
  const subscribers = (broker && broker.status && broker.status.subscribers) || [];
  $("subscribers").replaceChildren(...subscribers.map((u) => {
    const row = element("tr", "");
    for (const v of [u.addr, u.topics, u.lag, u.skipped, u.lost]) row.append(element("td", String(v)));
    return row;
  }));
}

// nothingKnown says of all that /v1/status tells that it is of before.
function nothingKnown() {
  for (const e of document.querySelectorAll("#processes .pill")) e.textContent = "unknown";
  for (const e of document.querySelectorAll("#processes [data-state]")) e.dataset.state = "unknown";
  for (const e of $("slots").children) e.dataset.in = "unknown";
  $("coverage").textContent = "unknown";
  $("slots").setAttribute("aria-label", "256 slots, coverage unknown");
  $("subscribers").replaceChildren();
  showBreaker("unknown");
}

function poll() {
  fetch("/v1/status").then((r) => r.ok ? r.json() : Promise.reject(new Error(r.status))).then(onStatus)
    .catch(nothingKnown)
    .finally(() => setTimeout(poll, 1000));
}

function listen() {
  const stream = new EventSource("/v1/stream");
  stream.addEventListener("hello", (e) => { skew = Date.parse(JSON.parse(e.data).now) - Date.now(); });
  stream.addEventListener("quote", onQuote);
  stream.addEventListener("breaker", (e) => transition(JSON.parse(e.data).payload));
  stream.addEventListener("source", (e) => { source = JSON.parse(e.data).source; refresh(); });
  stream.addEventListener("open", () => { if (source === "cut") source = before; });
  let before = source;
  stream.addEventListener("error", () => { // the browser comes back by itself, with Last-Event-ID
    if (source !== "cut") before = source;
    source = "cut";
    refresh();
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 2000); // it was refused: that it does not try again
  });
}

function refresh() {
  quotes.forEach(drawQuote);
  banner();
  $("clock").textContent = new Date(now()).toISOString().slice(11, 19) + " UTC";
}

$("quotes").addEventListener("keydown", (e) => {
  const cards = [...$("quotes").children], at = cards.indexOf(document.activeElement);
  if (at < 0) return;
  const columns = getComputedStyle($("quotes")).gridTemplateColumns.split(" ").length;
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns, Home: 0, End: cards.length - 1 }[e.key];
  if (to !== undefined) {
    e.preventDefault();
    const next = cards[Math.min(Math.max(to, 0), cards.length - 1)];
    cards.forEach((c) => c.setAttribute("tabindex", c === next ? "0" : "-1"));
    next.focus();
  } else if (e.key === "Enter" || e.key === " ") {
    e.preventDefault();
    choose(cards[at].dataset.symbol);
  }
});

listen();
poll();
setInterval(refresh, 250);

"use strict";
(() => {
  const data = JSON.parse(document.getElementById("summary").textContent);
  const rows = data.series, total = data.shown, PAGE = 100;
  const SPARK = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const BINS = ["0.25", "0.5", "0.75", "1", "1.25", "1.5", "2", "3"];
  const $ = (id) => document.getElementById(id);
  const many = (n, word, plural) => `${n.toLocaleString("en")} ${n === 1 ? word : plural || word + "s"}`;
  // two decimals; of numbers below 1 as many as show two digits
  const number = (x) => x === null || x === undefined ? "" : x.toLocaleString("en", Math.abs(x) >= 1 || x === 0 ? { maximumFractionDigits: 2 } : { maximumSignificantDigits: 2 });
  const mase = (x) => x === null || x === undefined ? "" : x.toFixed(2);

  // Text is only ever set as text: names and messages come from others' files.
  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  function table(target, caption, heads, lines) {
    target.replaceChildren(
      make("caption", {}, caption),
      make("thead", {}, make("tr", {}, ...heads.map(([text, kind]) => make("th", { scope: "col", class: kind }, text)))),
      make("tbody", {}, ...lines.map((cells) => make("tr", {}, ...cells.map((cell, i) => make("td", { class: heads[i][1] }, cell))))));
  }

  const last = (path) => path.split("/").pop();
  const label = (i) => {
    const file = data.files[rows.file[i]];
    const name = file && file.series === 1 ? last(file.output) : rows.name[i];
    return name === "" ? "(empty)" : name.length > 120 ? `${name.slice(0, 119)}…` : name;
  };

  // ------------------------------------------------------------------ at a glance

  function glance() {
    const files = data.files, bad = files.filter((f) => f.status === "failed").length + data.strays.length;
    const forecast = files.reduce((sum, f) => sum + f.series - f.failed, 0);
    const finished = files.map((f) => f.finished).sort().pop();
    $("lead").textContent = `${many(files.length, "file")}, ${many(forecast, "series", "series")} forecast` +
      (finished ? `; finished ${finished.slice(0, 16).replace("T", " ")} UTC.` : ".");
    const tile = (value, text, kind) => make("li", { class: kind || "" }, make("strong", {}, value), text);
    const notForecast = files.reduce((sum, f) => sum + f.failed, 0);
    const good = files.filter((f) => f.status !== "failed").length;
    $("tiles").append(
      tile(good.toLocaleString("en"), good === 1 ? "file forecast" : "files forecast"),
      tile(bad.toLocaleString("en"), bad === 1 ? "file not forecast" : "files not forecast", bad ? "bad" : ""),
      tile(forecast.toLocaleString("en"), "series forecast"),
      tile(notForecast.toLocaleString("en"), "series not forecast", notForecast ? "bad" : ""));
    const scored = data.histogram.reduce((sum, n) => sum + n, 0);
    if (!scored) {
      $("scores").append(make("p", { class: "soft" }, "No series is long enough for a score, which needs more than two horizons of history."));
      return;
    }
    const better = data.histogram.slice(0, 4).reduce((sum, n) => sum + n, 0);
    $("tiles").append(tile(`${Math.round(100 * better / scored)} %`, `of the ${scored.toLocaleString("en")} scored series have a MASE of at most 1`), tile(mase(data.median), "median MASE"));
    const most = Math.max(...data.histogram);
    const ranges = data.histogram.map((n, i) => `${i === 0 ? `up to ${BINS[0]}` : i < BINS.length ? `${BINS[i - 1]} to ${BINS[i]}` : `over ${BINS[BINS.length - 1]}`}: ${n}`);
    $("scores").append(
      make("p", {}, "Accuracy: the last horizon of each history was held out and forecast. MASE is the error of that forecast as a multiple of the average error of repeating the last season within the history: below 1 is better."),
      make("div", { class: "bars", role: "img", "aria-label": `Series by MASE. ${ranges.join("; ")}.` },
        ...data.histogram.map((n, i) => make("div", { class: i > 3 ? "worse" : "", style: `height:${100 * n / most}%`, title: ranges[i] }))),
      make("div", { class: "ends", "aria-hidden": "true" }, ...data.histogram.map((_, i) => make("span", {}, BINS[i] || ""))));
  }

  function problems() {
    const told = [...data.strays, ...data.letters.first];
    if (!told.length) return;
    $("problems").hidden = false;
    const seen = new Map();
    for (const letter of told) {
      if (letter.code === "NOTHING_FORECAST") continue;
      if (!seen.has(letter.code)) seen.set(letter.code, []);
      seen.get(letter.code).push(letter);
    }
    const counts = new Map(data.letters.codes);
    for (const [code, letters] of seen) {
      const all = counts.get(code) || letters.length;
      const tell = (letter) => make("div", { class: "problem" },
        make("p", {}, letter.series_id ? `Series ${letter.series_id}: ` : "", letter.message), make("p", { class: "soft" }, letter.hint));
      const rest = letters.slice(3);
      $("problem-list").append(make("h3", {}, make("span", { class: "code" }, code), ` (${all.toLocaleString("en")})`), ...letters.slice(0, 3).map(tell));
      if (rest.length || all > letters.length) {
        $("problem-list").append(make("details", {}, make("summary", {}, `${(all - Math.min(3, letters.length)).toLocaleString("en")} more`),
          ...rest.map(tell), all > letters.length ? make("p", {}, "The others are in the table dead_letters: run `dropcast query`.") : null));
      }
    }
  }

  function live() {
    if (!data.live.length) return;
    $("live").hidden = false;
    const percent = (share) => share === null ? "" : `${(100 * share).toFixed(1)} %`;
    table($("live-table"), "Accuracy of earlier forecasts",
      [["Data", "text"], ["Model", ""], ["Versions", "n"], ["Values compared", "n"], ["Error, share of the values", "n"], ["Interval", "n"], ["Inside it", "n"]],
      data.live.map(([feed, model, level, versions, values, error, inside]) => [
        make("span", { title: feed }, last(feed)), model, versions.toLocaleString("en"), values.toLocaleString("en"), percent(error), `${number(100 * level)} %`, percent(inside)]));
  }

  function fileTable() {
    const MOST = 50;
    const show = (list) => table($("files"), "Files and their results",
      [["File", "text"], ["Status", ""], ["Series", "n"], ["Not forecast", "n"], ["Median MASE", "n"], ["Frequency", ""], ["Model", ""], ["Notes", "text"]],
      list.map((f) => [
        make("span", { title: f.source }, f.output),
        make("span", { class: { complete: "good", partial: "warn", failed: "bad" }[f.status] || "" }, f.status, f.code ? make("span", { class: "code" }, ` ${f.code}`) : null),
        f.series.toLocaleString("en"), f.failed.toLocaleString("en"), mase(f.score), f.frequencies, f.model,
        [Object.entries(JSON.parse(f.options)).map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", "), f.notes].filter(Boolean).join("\n")]));
    const order = { failed: 0, partial: 1 };
    const sorted = data.files.slice().sort((a, b) => (order[a.status] ?? 2) - (order[b.status] ?? 2));
    show(sorted.slice(0, MOST));
    if (sorted.length > MOST) {
      const button = make("button", { type: "button", onclick: () => { show(sorted); button.remove(); } }, `Show all ${sorted.length.toLocaleString("en")} files`);
      $("files-more").append(button);
    }
  }

  // ------------------------------------------------------------------ the list of series

  const COLUMNS = [
    { key: "name", text: "Series", value: (i) => label(i).toLowerCase() },
    { key: "spark", text: "Shape", kind: "spark less" },
    { key: "score", text: "MASE", kind: "n", value: (i) => rows.code[i] ? Infinity : rows.score[i] },
    { key: "n", text: "Values", kind: "n less", value: (i) => rows.n[i] },
    { key: "ahead", text: "Mean forecast", kind: "n", value: (i) => rows.ahead[i] },
  ];
  const state = { sort: null, up: false, shown: PAGE, chosen: -1, found: [] };

  function order() {
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean), which = $("which").value;
    const found = [];
    for (let i = 0; i < total; i++) {
      if (which === "failed" && !rows.code[i]) continue;
      if (which === "worse" && (rows.code[i] || !(rows.score[i] > 1))) continue;
      if (which === "better" && (rows.code[i] || rows.score[i] === null || rows.score[i] > 1)) continue;
      if (words.length) {
        const file = data.files[rows.file[i]];
        const text = `${rows.name[i]} ${file ? file.output : ""} ${rows.code[i]}`.toLowerCase();
        if (!words.every((word) => text.includes(word))) continue;
      }
      found.push(i);
    }
    const column = COLUMNS.find((one) => one.key === state.sort);
    if (column) {
      const sign = state.up ? 1 : -1, none = (x) => x === null || x === undefined;
      found.sort((a, b) => {
        const x = column.value(a), y = column.value(b);
        if (none(x) || none(y)) return none(x) - none(y);
        return x < y ? -sign : x > y ? sign : a - b;
      });
    }
    state.found = found;
  }

  function spark(text) {
    const pieces = text.split(" ").map((piece) => [...piece].map((mark) => 63 - SPARK.indexOf(mark)));
    const count = pieces.reduce((sum, piece) => sum + piece.length, 0);
    if (count < 2) return "";
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("class", "line"); svg.setAttribute("viewBox", `0 -2 ${count - 1} 67`);
    svg.setAttribute("preserveAspectRatio", "none"); svg.setAttribute("aria-hidden", "true");
    let at = 0;
    pieces.forEach((piece, k) => {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("class", k ? "ahead" : "past");
      path.setAttribute("d", piece.map((y, i) => `${i ? "L" : "M"}${at + i} ${y}`).join(""));
      at += piece.length;
      svg.append(path);
    });
    return svg;
  }

  function seriesTable() {
    const heads = COLUMNS.map((column) => {
      if (!column.value) return make("th", { scope: "col", class: column.kind }, column.text);
      const sort = state.sort === column.key ? (state.up ? "ascending" : "descending") : "none";
      return make("th", { scope: "col", class: column.kind, "aria-sort": sort },
        make("button", { type: "button", "data-key": column.key, onclick: () => {
          state.up = state.sort === column.key ? !state.up : column.key === "name";
          state.sort = column.key;
          refresh();
          $("series").querySelector(`[data-key=${column.key}]`).focus();
        } }, column.text));
    });
    $("series").replaceChildren(
      make("caption", {}, state.sort ? "Sorted by the chosen column" : "Not forecast first, then the worst score first"),
      make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}));
    addRows(0);
  }

  function addRows(from) {
    const body = $("series").tBodies[0];
    for (const i of state.found.slice(from, state.shown)) {
      const file = data.files[rows.file[i]];
      const name = make("button", { type: "button", class: "open", "data-row": i, title: file ? file.output : "" }, label(i));
      const score = rows.code[i] ? make("span", { class: "bad code" }, rows.code[i])
        : make("span", { class: rows.score[i] > 1 ? "warn" : rows.score[i] === null ? "" : "good" }, mase(rows.score[i]));
      const row = make("tr", { class: i === state.chosen ? "chosen" : "" }, make("td", { class: "text" }, name, data.files.length > 1 && file && file.series > 1 ? make("span", { class: "soft file" }, ` ${file.output}`) : null),
        make("td", { class: "spark less" }, spark(rows.spark[i])), make("td", { class: "n" }, score),
        make("td", { class: "n less" }, rows.n[i] ? rows.n[i].toLocaleString("en") : ""),
        make("td", { class: "n" }, number(rows.ahead[i])));
      row.addEventListener("click", () => choose(i, true));
      body.append(row);
    }
    $("more").hidden = state.shown >= state.found.length;
    $("more").textContent = `Show ${Math.min(PAGE, state.found.length - state.shown).toLocaleString("en")} more`;
    const kept = data.count > total ? ` This page shows the ${total.toLocaleString("en")} worst of ${data.count.toLocaleString("en")}.` : "";
    $("found").textContent = `${many(state.found.length, "series", "series")} found, ${Math.min(state.shown, state.found.length).toLocaleString("en")} listed.${kept}`;
  }

  function refresh() { state.shown = PAGE; order(); seriesTable(); }

  // ------------------------------------------------------------------ one series

  const blocks = new Map();
  function block(k) {
    if (!blocks.has(k)) blocks.set(k, unpack(k));
    return blocks.get(k);
  }
  async function unpack(k) {
    if (!$(`block-${k}`)) await new Promise((done) => document.addEventListener("DOMContentLoaded", done));
    const packed = Uint8Array.from(atob($(`block-${k}`).textContent), (mark) => mark.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return (await new Response(stream).json()).map((one) => ({ ...one, d: summed(one.d), f: summed(one.f),
      b: one.b.map(([x, y]) => [summed(x), y]),
      c: one.c.map(([name, over, share, x, y]) => ({ name, over, share, x: over === "dates" ? summed(x) : x, y })) }));
  }
  const summed = (steps) => { let at = 0; return steps.map((step) => (at += step)); };

  let charts = [];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const UTC = (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC");
  function written(seconds, withTime) {
    const text = new Date(seconds * 1e3).toISOString().replace(/^\+00/, "");
    const time = seconds % 1 ? 23 : seconds % 60 ? 19 : 16;
    return withTime ? text.slice(0, time).replace("T", " ") : text.slice(0, 10);
  }
  const timed = (dates) => dates.some((seconds) => seconds % 86400 !== 0);

  function axes(x) {
    const style = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    return [{ ...style, ...x }, { ...style, size: 64, values: (_, ticks) => ticks.map((tick) => number(tick)) }];
  }

  function chart(target, height, options, values) {
    const draw = () => new uPlot({ width: Math.max(target.clientWidth, 200), height, ...options() }, values, target);
    const one = { plot: draw(), redraw() { const scale = one.plot.scales.x; const kept = [scale.min, scale.max]; one.plot.destroy(); one.plot = draw(); one.plot.setScale("x", { min: kept[0], max: kept[1] }); } };
    one.watch = new ResizeObserver(() => {
      const width = Math.max(target.clientWidth, 200);
      if (width !== one.plot.width) one.plot.setSize({ width, height });
    });
    one.watch.observe(target);
    charts.push(one);
    return one;
  }

  // The line is interrupted where values are missing for five usual steps or more.
  function withGaps(dates, values) {
    const steps = dates.slice(1).map((date, k) => date - dates[k]).sort((a, b) => a - b);
    const usual = steps[Math.floor(steps.length / 2)] || 0, d = [], y = [];
    dates.forEach((date, k) => {
      if (k && date - dates[k - 1] >= 5 * usual) { d.push((date + dates[k - 1]) / 2); y.push(null); }
      d.push(date); y.push(values[k]);
    });
    return [d, y];
  }

  // What was forecast from earlier dates, at the dates of the history that are drawn.
  function pastForecasts(x, parts) {
    const at = new Map(x.map((date, k) => [date, k])), values = Array(x.length).fill(null);
    for (const [dates, numbers] of parts) dates.forEach((date, k) => { if (at.has(date)) values[at.get(date)] = numbers[k]; });
    return values;
  }

  function forecastChart(target, one, few) {
    const [d, y] = withGaps(one.d, one.y);
    const x = [...d, ...one.f], gap = (n) => Array(n).fill(null);
    const values = [x, [...y, ...gap(one.f.length)], [...gap(d.length), ...one.p]];
    const bands = [];
    for (const [, lower, upper] of one.i) {
      values.push([...gap(d.length), ...upper], [...gap(d.length), ...lower]);
      bands.push([values.length - 2, values.length - 1]);
    }
    const past = one.b.length ? pastForecasts(x, one.b) : null;
    if (past) values.push(past);
    const withTime = timed(x);
    const options = () => ({
      tzDate: UTC, cursor: { drag: { x: true, y: false } }, legend: { live: true }, axes: axes({}),
      series: [
        { label: "Date", value: (_, v) => v === null ? "" : written(v, withTime) },
        { label: "History", stroke: colour("--history"), width: 1.2, points: { show: few, size: 4 }, value: (_, v) => number(v) },
        { label: "Forecast", stroke: colour("--forecast"), width: 2, points: { show: one.f.length === 1, size: 6 }, value: (_, v) => number(v) },
        ...one.i.flatMap(([level]) => ["upper", "lower"].map((end) => ({
          label: `${level} % ${end}`, stroke: `rgba(${colour("--band")}, .45)`, width: .75, points: { show: false }, value: (_, v) => number(v) }))),
        ...(past ? [{ label: "Past forecasts", stroke: colour("--forecast"), width: 1.2, dash: [5, 3], points: { show: false }, value: (_, v) => number(v) }] : []),
      ],
      bands: bands.map((series) => ({ series, fill: `rgba(${colour("--band")}, ${.3 / one.i.length + .05})` })),
    });
    return chart(target, 320, options, values);
  }

  const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  function place(over, x) {
    if (over === "week") return WEEKDAYS[Math.floor(x + 1e-9) % 7] + (x % 1 ? ` ${String(Math.round(24 * (x % 1))).padStart(2, "0")}:00` : "");
    if (over === "year") { const day = new Date(Date.UTC(2023, 0, 1 + Math.round(x))); return `${day.getUTCDate()} ${MONTHS[day.getUTCMonth()]}`; }
    if (over === "day") { const minutes = Math.round(1440 * x); return `${String(Math.floor(minutes / 60) % 24).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`; }
    return `day ${number(x)}`;
  }
  const SPLITS = { week: [0, 1, 2, 3, 4, 5, 6], year: [0, 59, 120, 181, 243, 304], day: [0, .25, .5, .75] };

  function componentChart(target, part) {
    const onDates = part.over === "dates", unit = (v) => v === null ? "" : part.share ? `${(100 * v).toFixed(1)} %` : number(v);
    const labels = (_, ticks) => ticks.map((tick) => part.over === "year" ? MONTHS[new Date(Date.UTC(2023, 0, 1 + tick)).getUTCMonth()] : place(part.over, tick));
    const x = onDates ? {} : SPLITS[part.over] ? { splits: () => SPLITS[part.over], values: labels } : { values: labels };
    const withTime = onDates && timed(part.x);
    const options = () => {
      const [below, left] = axes(x);
      return {
        tzDate: UTC, scales: { x: { time: onDates } }, cursor: { drag: { x: false, y: false } }, legend: { show: false },
        axes: [below, { ...left, values: (_, ticks) => ticks.map(unit) }],
        series: [{ label: "At", value: (_, v) => v === null ? "" : onDates ? written(v, withTime) : place(part.over, v) },
          { label: part.share ? "Share of the trend" : "Effect", stroke: colour("--forecast"), width: 1.5, points: { show: part.x.length < 10 }, value: (_, v) => unit(v) }],
      };
    };
    return chart(target, 170, options, [part.x, part.y]);
  }

  function clear() {
    for (const one of charts) { one.watch.disconnect(); one.plot.destroy(); }
    charts = [];
    $("detail-body").replaceChildren();
  }

  async function choose(i, move) {
    state.chosen = i;
    for (const row of $("series").querySelectorAll("tr.chosen")) row.classList.remove("chosen");
    const button = $("series").querySelector(`[data-row="${i}"]`);
    if (button) button.closest("tr").classList.add("chosen");
    const one = (await block(Math.floor(i / data.perBlock)))[i % data.perBlock];
    if (state.chosen !== i) return;  // another was chosen meanwhile
    clear();
    const file = data.files[rows.file[i]], body = $("detail-body");
    $("detail-heading").textContent = label(i);
    const withTime = timed([...one.d, ...one.f]);
    const facts = [["File", file ? file.output : ""], ["Frequency", rows.frequency[i]],
      ["History", one.d.length ? `${many(rows.n[i], "value")}, to ${written(one.d[one.d.length - 1], withTime)}${one.cut ? `; the last ${one.d.length.toLocaleString("en")} are drawn` : ""}` : rows.code[i] ? "" : "its CSV is missing or has changed"],
      ["MASE", rows.score[i] === null ? "" : `${mase(rows.score[i])} (${rows.score[i] > 1 ? "worse" : "better"} than naive)`]];
    const percent = (share) => `${Math.round(100 * share)} %`;
    if (one.w.length) facts.push(["Combined from", one.w.map(([name, weight]) => `${name} ${percent(weight)}`).join(", ")]);
    if (one.e) facts.push(["Past forecasts", `from ${many(one.e[0], "date")}${one.e[1] === null ? "" : `: mean MASE ${mase(one.e[1])}`}${one.e[2].map(([level, share]) => `; ${percent(share)} of values inside the ${level} % interval`).join("")}`]);
    body.append(make("dl", {}, ...facts.filter(([, text]) => text).flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)])));
    if (one.reason) body.append(make("div", { class: "problem" }, make("p", {}, make("span", { class: "code" }, rows.code[i]), ` ${one.reason}`), make("p", { class: "soft" }, one.hint)));
    if (one.d.length || one.f.length) {
      const about = one.f.length ? `forecast from ${written(one.f[0], withTime)} to ${written(one.f[one.f.length - 1], withTime)}, starting at ${number(one.p[0])} and ending at ${number(one.p[one.p.length - 1])}` : "not forecast";
      const holder = make("div", { class: "chart", role: "img", "aria-label": `${label(i)}: ${many(one.d.length, "value")} of history; ${about}. The numbers are in the table below.` });
      const ranges = make("div", { class: "ranges", role: "group", "aria-label": "Range of the chart" });
      body.append(ranges, holder);
      const drawn = forecastChart(holder, one, one.d.length < 60);
      const ahead = one.f.length, from = (n) => one.d[Math.max(0, one.d.length - n)] ?? one.f[0], end = ahead ? one.f[ahead - 1] : one.d[one.d.length - 1];
      const spans = [["All", one.d.length]];
      if (ahead && one.d.length > 10 * ahead) spans.push(["Last 10 horizons", 10 * ahead]);
      if (ahead && one.d.length) spans.push(["Forecast", 1]);
      const show = (k) => {
        buttons.forEach((button, j) => button.setAttribute("aria-pressed", String(j === k)));
        drawn.plot.setScale("x", { min: from(spans[k][1]), max: end });
      };
      const buttons = spans.map(([text], k) => make("button", { type: "button", "aria-pressed": "false", onclick: () => show(k) }, text));
      if (buttons.length > 1) show(spans.length > 2 ? 1 : 0);
      if (buttons.length > 1) ranges.append(...buttons);
    }
    if (one.f.length) {
      const heads = [["Date", ""], ["Forecast", "n"], ...one.i.flatMap(([level]) => [[`${level} % lower`, "n"], [`${level} % upper`, "n"]])];
      const values = make("table", {});
      table(values, "Forecast and prediction intervals", heads, one.f.map((date, k) => [written(date, withTime), number(one.p[k]), ...one.i.flatMap(([, lower, upper]) => [number(lower[k]), number(upper[k])])]));
      body.append(make("details", {}, make("summary", {}, "The forecast as a table"), make("div", { class: "values", tabindex: "0", role: "region", "aria-label": "The forecast as a table" }, values)));
    }
    if (one.c.length) {
      const parts = make("div", { class: "parts" });
      body.append(make("h4", { style: "margin-top:1rem" }, "Components of the model"),
        file && file.model.startsWith("stan") ? make("p", { class: "soft" }, "Components and score were computed by the native engine, which fits the same model.") : "", parts);
      for (const part of one.c) {
        const holder = make("div", { class: "chart", role: "img", "aria-label": `${part.name}: from ${number(Math.min(...part.y))} to ${number(Math.max(...part.y))}${part.share ? ", as a share of the trend" : ""}` });
        parts.append(make("div", {}, make("h4", {}, part.name), holder));
        componentChart(holder, part);
      }
    }
    if (move) { $("detail").scrollTop = 0; if (window.innerWidth < 1100) $("detail").scrollIntoView({ block: "start" }); }
  }

  // ------------------------------------------------------------------ keys and events

  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("search").addEventListener("input", refresh);
  $("which").addEventListener("change", refresh);
  $("more").addEventListener("click", () => {
    const from = state.shown;
    state.shown += PAGE;
    addRows(from);
    const next = $("series").tBodies[0].rows[from];
    if (next) next.querySelector("button").focus();
  });
  $("series").addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !event.target.matches("button.open")) return;
    event.preventDefault();
    const row = event.target.closest("tr"), next = step > 0 ? row.nextElementSibling : row.previousElementSibling;
    if (next) { const button = next.querySelector("button"); button.focus(); choose(Number(button.dataset.row), false); }
  });
  $("series").addEventListener("click", (event) => {
    if (event.detail === 0 && event.target.matches("button.open")) $("detail").focus();  // opened by keyboard: move the focus there
  });
  function backToList() {
    const button = $("series").querySelector(`[data-row="${state.chosen}"]`) || $("search");
    button.focus();
    button.scrollIntoView({ block: "center" });
  }
  $("back").addEventListener("click", backToList);
  $("detail").addEventListener("keydown", (event) => { if (event.key === "Escape") backToList(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((one) => one.redraw()));

  if (data.seriesFirst) document.querySelector("main").prepend($("all-series"));
  glance(); problems(); live(); fileTable();
  $("software").textContent = [...new Set(data.files.map((f) => f.software))].join(", ");
  if (total) {
    refresh();
    choose(state.found.find((i) => !rows.code[i]) ?? state.found[0], false);  // a picture, if there is one
  } else {
    $("filters").hidden = true; $("more").hidden = true; $("detail").hidden = true;
    $("found").textContent = "There are no series to show.";
  }
})();

(function () {
  const byId = (id) => document.getElementById(id);
  const DATA = JSON.parse(byId("curves").textContent);
  const TYPICAL = ["relu", "gelu", "silu"];
  const START = 5; // up to which |x|
  const chart = byId("chart"), reading = byId("reading"), chosen = byId("chosen"), table = byId("table");
  const rows = Array.from(table.tBodies[0].rows);
  const selected = new Map(); // name -> { style, values }
  const shown = { end: START, card: "" };
  let lines = [], scale = null, at = null;

  // What a curve is: a function of x, of an activation at the values of its parameters.
  function curve(name, values, derivative) {
    const data = DATA[name];
    if (!data.points) return (x) => FORMULAS[name][derivative](x, ...values);
    const position = data.sliders.length ? data.sliders[0].values.indexOf(values[0]) : 0;
    const points = data.points[position][derivative], last = points.length - 1;
    return (x) => {
      const place = ((x + data.far) / (2 * data.far)) * last, k = Math.min(Math.floor(place), last - 1);
      return place < 0 || place > last ? NaN : points[k] + (place - k) * (points[k + 1] - points[k]);
    };
  }

  const usual = (name) => DATA[name].sliders.map((slider) => slider.start);
  const style = (k, derivative) => ({ colour: COLOURS[k % COLOURS.length], dash: DASHES[Math.floor(k / COLOURS.length) % DASHES.length][derivative] });
  const plain = (y) => (y === undefined || Number.isNaN(y) ? "–" : String(Number(y.toPrecision(5))).replace("-", "−"));
  const escaped = (text) => text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);

  function ticks(low, high, count) {
    const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].find((k) => k * power >= raw * 0.999) * power;
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(Number((k * step).toPrecision(12)));
    return found;
  }

  // A jump stays as high as it is when looked at from nearer, so the line ends there and begins anew.
  function jumps(f, x0, y0, x1, y1) {
    const height = Math.abs(y1 - y0);
    for (let k = 0; k < 24; k++) {
      const x = (x0 + x1) / 2, y = f(x);
      if (Math.abs(y - y0) < Math.abs(y1 - y)) { x0 = x; y0 = y; } else { x1 = x; y1 = y; }
    }
    return Math.abs(y1 - y0) > 0.5 * height;
  }

  function draw() {
    const width = chart.clientWidth || 640, height = Math.round(Math.min(430, Math.max(250, 0.56 * width)));
    const box = { left: 44, right: width - 10, top: 10, bottom: height - 26 }, end = shown.end;
    const count = Math.ceil(box.right - box.left), wanted = [];
    if (byId("values").checked) wanted.push(0);
    if (byId("slopes").checked) wanted.push(1);
    lines = [];
    for (const [name, one] of selected) {
      for (const derivative of wanted) {
        const f = curve(name, one.values, derivative);
        const points = Array.from({ length: count + 1 }, (_, k) => [-end + (2 * end * k) / count, 0]);
        for (const point of points) point[1] = f(point[0]);
        lines.push({ name, derivative, f, points, ...style(one.style, derivative) });
      }
    }
    const heights = lines.flatMap((line) => line.points.map((point) => point[1])).filter(Number.isFinite);
    let low = heights.reduce((a, b) => Math.min(a, b), 0), high = heights.reduce((a, b) => Math.max(a, b), heights.length ? -Infinity : 1);
    low = Math.max(low, -end); high = Math.min(Math.max(high, low + 0.1), end);
    const room = 0.06 * (high - low);
    low -= room; high += room;
    const x = (v) => box.left + ((v + end) / (2 * end)) * (box.right - box.left);
    const y = (v) => box.bottom - ((v - low) / (high - low)) * (box.bottom - box.top);
    scale = { x, y, box, width, height };
    const held = (v) => Math.min(Math.max(y(v), -2000), height + 2000).toFixed(1);
    const parts = ['<clipPath id="inside"><rect x="' + box.left + '" y="' + box.top + '" width="' + (box.right - box.left) + '" height="' + (box.bottom - box.top) + '"/></clipPath>'];
    for (const v of ticks(-end, end, Math.min(10, width / 55))) {
      parts.push(`<line class="${v ? "grid" : "axis"}" x1="${x(v)}" x2="${x(v)}" y1="${box.top}" y2="${box.bottom}"/><text x="${x(v)}" y="${height - 8}" text-anchor="middle">${plain(v)}</text>`);
    }
    for (const v of ticks(low, high, height / 45)) {
      parts.push(`<line class="${v ? "grid" : "axis"}" x1="${box.left}" x2="${box.right}" y1="${y(v)}" y2="${y(v)}"/><text x="${box.left - 6}" y="${y(v) + 4}" text-anchor="end">${plain(v)}</text>`);
    }
    for (const line of lines) {
      let path = "", before = null;
      for (const point of line.points) {
        if (!Number.isFinite(point[1])) { before = null; continue; }
        const steep = before && Math.abs(y(before[1]) - y(point[1])) > 6 && !DATA[line.name].points;
        const broken = !before || (steep && jumps(line.f, ...before, ...point));
        path += `${broken ? "M" : "L"}${x(point[0]).toFixed(1)} ${held(point[1])}`;
        before = point;
      }
      parts.push(`<path class="line" data-name="${line.name}" data-derivative="${line.derivative}" d="${path}" stroke="${line.colour}" stroke-dasharray="${line.dash}" clip-path="url(#inside)"/>`);
    }
    parts.push('<g id="cursor"></g>');
    chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    chart.style.height = `${height}px`;
    chart.innerHTML = parts.join("");
    byId("end").nextElementSibling.value = end;
    read(at);
  }

  // The values of all lines at one x.
  function read(x) {
    at = x === null || !lines.length ? null : Math.min(Math.max(x, -shown.end), shown.end);
    reading.hidden = at === null;
    if (at === null) { byId("cursor").innerHTML = ""; return; }
    const found = lines.map((line) => ({ ...line, y: line.f(at) })), place = scale.x(at);
    byId("cursor").innerHTML = `<line class="cursor" x1="${place}" x2="${place}" y1="${scale.box.top}" y2="${scale.box.bottom}"/>` +
      found.filter((one) => scale.y(one.y) >= scale.box.top && scale.y(one.y) <= scale.box.bottom)
        .map((one) => `<circle cx="${place}" cy="${scale.y(one.y)}" r="3.5" fill="${one.colour}"/>`).join("");
    reading.innerHTML = `<table><tr><th>x</th><td class="number">${plain(Number(at.toFixed(4)))}</td></tr>` +
      found.map((one) => `<tr><th style="color:${one.colour}">${escaped(one.name)}${one.derivative ? "′" : ""}</th><td class="number">${plain(one.y)}</td></tr>`).join("") + "</table>";
    const right = place < scale.width / 2;
    reading.style.left = right ? `${place + 14}px` : "";
    reading.style.right = right ? "" : `${scale.width - place + 14}px`;
  }

  function sample(k) {
    const line = (derivative, y) => { const s = style(k, derivative); return `<line x1="0" x2="54" y1="${y}" y2="${y}" stroke="${s.colour}" stroke-width="2.2" stroke-dasharray="${s.dash}"/>`; };
    const both = byId("values").checked && byId("slopes").checked;
    return `<svg viewBox="0 0 54 18" aria-hidden="true">${byId("values").checked ? line(0, both ? 5 : 9) : ""}${byId("slopes").checked ? line(1, both ? 13 : 9) : ""}</svg>`;
  }

  // The list of what is drawn, with the sliders of its parameters.
  function list() {
    chosen.replaceChildren(...Array.from(selected, ([name, one]) => {
      const item = document.createElement("li");
      item.dataset.name = name;
      item.innerHTML = `${sample(one.style)}<button type="button" class="name">${escaped(name)}</button><div class="sliders"></div><button type="button" class="away" aria-label="− ${escaped(name)}">✕</button>`;
      item.querySelector(".name").addEventListener("click", () => show(name));
      item.querySelector(".away").addEventListener("click", () => choose(name, false));
      DATA[name].sliders.forEach((slider, k) => {
        const label = document.createElement("label"), stops = slider.values;
        label.className = "slider";
        const range = stops ? `min="0" max="${stops.length - 1}" value="${stops.indexOf(one.values[k])}"`
          : `min="${Math.min(slider.low, one.values[k])}" max="${Math.max(slider.high, one.values[k])}" step="any" value="${one.values[k]}"`;
        label.innerHTML = `${escaped(slider.name)} <input type="range" ${range}><output>${plain(one.values[k])}</output>`;
        label.querySelector("input").addEventListener("input", (event) => {
          const value = Number(event.target.value);
          one.values[k] = stops ? stops[value] : Number(value.toPrecision(3));
          label.querySelector("output").value = plain(one.values[k]);
          draw();
          remember();
        });
        item.querySelector(".sliders").append(label);
      });
      return item;
    }));
    for (const row of rows) {
      row.classList.toggle("on", selected.has(row.dataset.name));
      row.querySelector("input").checked = selected.has(row.dataset.name);
    }
    draw();
  }

  function choose(name, wanted, values) {
    if (!wanted) selected.delete(name);
    else if (!selected.has(name)) {
      const taken = new Set(Array.from(selected.values(), (one) => one.style));
      let free = 0;
      while (taken.has(free)) free++;
      selected.set(name, { style: free, values: values || usual(name) });
    }
    list();
    remember();
  }

  function show(name) {
    for (const card of document.querySelectorAll(".card")) card.hidden = card.id !== "card-" + name;
    for (const row of rows) row.classList.toggle("shown", row.dataset.name === name);
    shown.card = name;
  }

  // What is selected is in the address: #gelu,elu(alpha=0.5);d;x=8;lang=zh
  function remember() {
    const named = Array.from(selected, ([name, one]) => {
      const changed = DATA[name].sliders.flatMap((slider, k) => (one.values[k] === slider.start ? [] : [`${slider.name}=${one.values[k]}`]));
      return name + (changed.length ? `(${changed.join(",")})` : "");
    });
    const parts = [named.join(",")];
    if (byId("slopes").checked) parts.push(byId("values").checked ? "d" : "d-only");
    if (shown.end !== START) parts.push(`x=${shown.end}`);
    if (document.documentElement.lang === "zh") parts.push("lang=zh");
    history.replaceState(null, "", "#" + parts.join(";"));
  }

  function recall() {
    const [named, ...others] = decodeURIComponent(location.hash.slice(1)).split(";");
    const options = new Map(others.map((part) => part.split("=")));
    byId("slopes").checked = options.has("d") || options.has("d-only");
    byId("values").checked = !options.has("d-only");
    shown.end = Math.min(Math.max(Math.round(Number(options.get("x"))) || START, 1), 20);
    byId("end").value = shown.end;
    if (options.has("lang")) speak(options.get("lang") === "zh" ? "zh" : "en");
    selected.clear();
    let last = "";
    for (const [, text, inside] of (named || TYPICAL.join(",")).matchAll(/([^,()]+)(?:\(([^)]*)\))?/g)) {
      const row = rows.find((one) => one.dataset.names.split(" ").includes(text.trim()));
      if (!row) continue;
      const values = usual(row.dataset.name);
      for (const [parameter, value] of (inside || "").split(",").map((part) => part.split("="))) {
        const k = DATA[row.dataset.name].sliders.findIndex((slider) => slider.name === parameter.trim());
        if (k < 0 || !Number.isFinite(Number(value))) continue;
        const stops = DATA[row.dataset.name].sliders[k].values;
        values[k] = stops ? stops.reduce((a, b) => (Math.abs(b - value) < Math.abs(a - value) ? b : a)) : Number(value);
      }
      last = last || row.dataset.name;
      selected.set(row.dataset.name, { style: selected.size, values });
    }
    list();
    show(last || shown.card || TYPICAL[1]);
  }

  const plainName = (text) => text.toLowerCase().replace(/[-_ ]/g, "");

  function filter() {
    const word = plainName(byId("search").value), asked = Array.from(document.querySelectorAll("[data-fact]")).filter((select) => select.value);
    let count = 0;
    for (const row of rows) {
      const named = plainName(row.dataset.names.replaceAll(" ", "\n")).includes(word);
      row.hidden = !named || !asked.every((select) => row.dataset[select.dataset.fact] === select.value);
      count += !row.hidden;
    }
    byId("count").value = `${count} / ${rows.length}`;
  }

  function sort(head, column) {
    const down = head.getAttribute("aria-sort") === "ascending";
    const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === ""); // without a value: last
      const order = Number.isNaN(Number(x)) || Number.isNaN(Number(y)) ? x.localeCompare(y, "en") : x - y;
      return down ? -order : order;
    };
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    table.tBodies[0].append(...rows.slice().sort(compare));
  }

  for (const row of rows) {
    row.querySelector("input").addEventListener("change", (event) => { choose(row.dataset.name, event.target.checked); if (event.target.checked) show(row.dataset.name); });
    row.querySelector(".name").addEventListener("click", () => { choose(row.dataset.name, true); show(row.dataset.name); });
  }
  Array.from(table.tHead.rows[0].cells, (head, column) => head.querySelector("button").addEventListener("click", () => sort(head, column)));
  for (const select of document.querySelectorAll("[data-fact]")) select.addEventListener("change", filter);
  byId("search").addEventListener("input", filter);
  for (const id of ["values", "slopes"]) byId(id).addEventListener("change", () => { list(); remember(); });
  byId("end").addEventListener("input", (event) => { shown.end = Number(event.target.value); draw(); remember(); });
  chart.addEventListener("pointermove", (event) => {
    const { left, right } = scale.box, place = event.clientX - chart.getBoundingClientRect().left;
    read((2 * shown.end * (Math.min(Math.max(place, left), right) - left)) / (right - left) - shown.end);
  });
  chart.addEventListener("pointerleave", () => read(null));
  chart.addEventListener("blur", () => read(null));
  chart.addEventListener("keydown", (event) => {
    const step = (shown.end / 50) * (event.shiftKey ? 10 : 1);
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      event.preventDefault();
      read(Number(((at ?? 0) + (event.key === "ArrowLeft" ? -step : step)).toFixed(6)));
    } else if (event.key === "Escape") read(null);
  });
  addEventListener("language", () => { if (selected.size) remember(); });
  addEventListener("hashchange", recall);
  new ResizeObserver(draw).observe(chart.parentElement);
  filter();
  recall();
})();

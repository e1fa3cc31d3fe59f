"use strict";
(function () {
  const options = { mode: "vega-lite", renderer: "svg", actions: false, defaultStyle: false,
                    tooltip: { theme: "custom", disableDefaultStyle: true } };
  const specs = JSON.parse(document.getElementById("specs").textContent);
  const strips = JSON.parse(document.getElementById("strips").textContent);
  const views = {};
  const drawn = new Set();

  // A chart as wide as its container can be drawn only where that is shown.
  function draw(name) {
    const element = document.getElementById("chart-" + name);
    if (!element || !specs[name] || drawn.has(name)) return;
    drawn.add(name);
    vegaEmbed(element, specs[name], options).then(
      (result) => { views[name] = result.view; if (name === "curve") choose(); },
      (error) => { element.textContent = "This chart could not be drawn: " + error.message; }
    );
  }

  const buttons = document.querySelectorAll(".choice button");
  function show(measure) {
    for (const button of buttons) button.setAttribute("aria-pressed", button.value === measure);
    for (const heat of document.querySelectorAll(".heat")) heat.classList.toggle("shown", heat.dataset.name === measure);
    draw("heat-" + measure);
  }
  for (const button of buttons) button.addEventListener("click", () => show(button.value));
  if (buttons.length) show(JSON.parse(document.getElementById("first").textContent));

  const COLOURS = [[246, 243, 236], [242, 193, 120], [213, 94, 0], [90, 25, 0]];
  function colour(value) {
    const at = (value / 255) * (COLOURS.length - 1), k = Math.min(Math.floor(at), COLOURS.length - 2);
    return COLOURS[k].map((low, i) => low + (COLOURS[k + 1][i] - low) * (at - k));
  }
  function paint(strip) {
    const canvas = document.getElementById("strip");
    canvas.width = strip.width;
    canvas.height = strip.height;
    const picture = new ImageData(strip.width, strip.height), bytes = atob(strip.data);
    for (let i = 0; i < bytes.length; i++) {
      const rgb = colour(bytes.charCodeAt(i));
      picture.data.set([rgb[0], rgb[1], rgb[2], 255], 4 * i);
    }
    canvas.getContext("2d").putImageData(picture, 0, 0);
    document.getElementById("from").textContent = strip.steps[0].toLocaleString();
    document.getElementById("to").textContent = strip.steps[1].toLocaleString();
  }

  const select = document.getElementById("place");
  function choose() {
    if (views.curve) views.curve.signal("place", select.value).runAsync();
    if (strips[select.value]) paint(strips[select.value]);
  }
  if (select) { select.addEventListener("change", choose); choose(); }
  for (const name of ["curve", "gradients", "deaths", "updates"]) draw(name);
})();

"use strict";
(function () {
  const options = { mode: "vega-lite", renderer: "svg", actions: false, defaultStyle: false };
  const specs = JSON.parse(document.getElementById("specs").textContent);
  for (const [name, spec] of Object.entries(specs)) {
    const element = document.getElementById("curve-" + name);
    vegaEmbed(element, spec, options).then(
      (result) => {
        const input = document.getElementById("slider-" + name);
        if (!input) return;
        const values = JSON.parse(input.dataset.values);
        input.addEventListener("input", () => {
          input.nextElementSibling.value = values[input.value];
          result.view.signal("at", Number(input.value)).runAsync();
        });
      },
      (error) => { element.textContent = "This chart could not be drawn: " + error.message; }
    );
  }
})();

"use strict";
(function () {
  const views = [];
  const selected = new Set();
  const buttons = document.querySelectorAll(".legend button");

  function highlight(names) {
    for (const view of views) view.signal("highlight", names).runAsync();
  }

  function press() {
    for (const button of buttons) {
      button.setAttribute("aria-pressed", selected.has(button.dataset.name));
      button.parentElement.classList.toggle("some", selected.size > 0);
    }
    highlight([...selected]);
  }

  for (const button of buttons) {
    const name = button.dataset.name;
    button.addEventListener("click", function () {
      if (!selected.delete(name)) selected.add(name);
      press();
    });
    button.addEventListener("mouseenter", () => highlight([...selected, name]));
    button.addEventListener("mouseleave", () => highlight([...selected]));
  }

  const options = { mode: "vega-lite", renderer: "svg", actions: false, defaultStyle: false,
                    tooltip: { theme: "custom", disableDefaultStyle: true } };
  const specs = JSON.parse(document.getElementById("specs").textContent);
  for (const [name, spec] of Object.entries(specs)) {
    const element = document.getElementById("chart-" + name);
    vegaEmbed(element, spec, options).then(
      (result) => views.push(result.view),
      (error) => { element.textContent = "This chart could not be drawn: " + error.message; }
    );
  }
  document.documentElement.classList.add("js");
})();

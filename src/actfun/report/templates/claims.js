"use strict";
(function () {
  const root = document.documentElement;
  const buttons = document.querySelectorAll(".languages button");

  function speak(language) {
    root.dataset.lang = language;
    root.lang = language;
    for (const button of buttons) button.setAttribute("aria-pressed", button.value === language);
  }

  for (const button of buttons) button.addEventListener("click", () => speak(button.value));
  speak(navigator.language.startsWith("zh") ? "zh" : "en");

  for (const details of document.querySelectorAll("details")) {
    const before = { open: false };
    addEventListener("beforeprint", () => { before.open = details.open; details.open = true; });
    addEventListener("afterprint", () => { details.open = before.open; });
  }
})();

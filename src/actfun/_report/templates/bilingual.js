"use strict";
// Both languages are in the page; `data-zh` has the Chinese of a title, a placeholder or an option.
const speak = (function () {
  const root = document.documentElement;
  const buttons = document.querySelectorAll(".languages button");
  const property = (element) => ({ TITLE: "textContent", OPTION: "textContent", INPUT: "placeholder" })[element.tagName] || "title";
  const texts = Array.from(document.querySelectorAll("[data-zh]"), (element) => [element, element[property(element)]]);

  function speak(language) {
    root.dataset.lang = language;
    root.lang = language;
    for (const button of buttons) button.setAttribute("aria-pressed", button.value === language);
    for (const [element, english] of texts) element[property(element)] = language === "zh" ? element.dataset.zh : english;
    dispatchEvent(new Event("language"));
  }

  for (const button of buttons) button.addEventListener("click", () => speak(button.value));
  speak(navigator.language.startsWith("zh") ? "zh" : "en");

  for (const details of document.querySelectorAll("details")) {
    const before = { open: false };
    addEventListener("beforeprint", () => { before.open = details.open; details.open = true; });
    addEventListener("afterprint", () => { details.open = before.open; });
  }
  return speak;
})();

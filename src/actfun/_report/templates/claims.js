"use strict";
(function () {
  const root = document.documentElement;
  const buttons = document.querySelectorAll(".languages button");
  const links = document.querySelectorAll(".map a");
  const title = document.querySelector("title");
  const titles = new Map([[title, document.title], ...Array.from(links, (link) => [link, link.title])]);

  function speak(language) {
    root.dataset.lang = language;
    root.lang = language;
    for (const button of buttons) button.setAttribute("aria-pressed", button.value === language);
    for (const link of links) link.title = language === "zh" ? link.dataset.zh : titles.get(link);
    document.title = language === "zh" ? title.dataset.zh : titles.get(title);
  }

  for (const button of buttons) button.addEventListener("click", () => speak(button.value));
  speak(navigator.language.startsWith("zh") ? "zh" : "en");

  for (const details of document.querySelectorAll("details")) {
    const before = { open: false };
    addEventListener("beforeprint", () => { before.open = details.open; details.open = true; });
    addEventListener("afterprint", () => { details.open = before.open; });
  }
})();

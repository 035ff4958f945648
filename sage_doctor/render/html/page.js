"use strict";
(() => {
  const said = document.getElementById("said");
  const select = (code) => {
    const range = document.createRange();
    range.selectNodeContents(code);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  };
  const copy = async (code) => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      return true;
    } catch {
      select(code); // a browser without a clipboard for pages on disk
      return document.execCommand("copy");
    }
  };
  for (const button of document.querySelectorAll(".command button")) {
    const code = button.previousElementSibling;
    button.hidden = false;
    button.setAttribute("aria-label", "Copy " + code.textContent.slice(0, 80));
    button.addEventListener("click", async () => {
      const done = await copy(code);
      said.textContent = done ? "Copied" : "Selected: copy it with the keyboard";
      button.textContent = done ? "Copied" : "Selected";
      setTimeout(() => { button.textContent = "Copy"; said.textContent = ""; }, 2000);
    });
  }
  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("main > section > details, .cause > details")) part.open = true;
  });
})();

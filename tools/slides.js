// A deck (tools/slides.py): formulas first, then each slide in the largest type in which nothing overflows.
(() => {
  const SIZES = [30, 28, 26, 24, 22, 20, 18];

  const LEAST = 0.6; // of the text's size, for a formula that is wider than the slide

  const holds = (box) =>
    box.scrollHeight <= box.clientHeight && box.scrollWidth <= box.clientWidth;

  function narrow(formula) {
    formula.style.fontSize = "";
    const share = formula.clientWidth / formula.scrollWidth;
    if (share < 1) formula.style.fontSize = `${Math.max(LEAST, 0.98 * share)}em`;
  }

  function fit(slide) {
    for (const size of SIZES) {
      slide.style.fontSize = `${size}px`;
      slide.querySelectorAll("div.math").forEach(narrow);
      if ([slide, ...slide.querySelectorAll(".body")].every(holds)) return;
    }
  }

  const button = document.getElementById("notes-toggle");
  function toggleNotes() {
    const shown = !Reveal.getConfig().showNotes;
    Reveal.configure({ showNotes: shown });
    button.setAttribute("aria-pressed", shown);
    Reveal.layout();
  }

  window.deckReady = MathJax.startup.promise.then(async () => {
    await document.fonts.ready;
    document.querySelectorAll(".slide").forEach(fit);
    document.querySelector(".reveal").classList.remove("measuring");
    await Reveal.initialize({
      width: 1280,
      height: 720,
      margin: 0,
      center: false,
      hash: true,
      slideNumber: "c/t",
      transition: "none",
      plugins: [RevealNotes],
    });
    button.addEventListener("click", toggleNotes);
    Reveal.addKeyBinding({ keyCode: 84, key: "T", description: "Speaker notes beside" }, toggleNotes);
  });
})();

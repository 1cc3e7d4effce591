// Jupyter's sliders have no name for a screen reader: it is in the label beside them, the value in the readout.
if (document.querySelector("script[type='application/vnd.jupyter.widget-view+json']")) {
  let number = 0;
  const refer = (handle, attribute, part) => {
    const found = handle.closest(".widget-slider").querySelector(part);
    if (!found) return;
    found.id ||= `mflib-widget-${number++}`;
    handle.setAttribute(attribute, found.id);
  };
  // They are drawn after the page has loaded.
  new MutationObserver(() => {
    for (const handle of document.querySelectorAll("[role=slider]:not([aria-labelledby])")) {
      refer(handle, "aria-labelledby", ".widget-label");
      refer(handle, "aria-describedby", ".widget-readout");
    }
  }).observe(document.body, { childList: true, subtree: true });
}

// Sliders that work without a kernel. The numbers come with the page (mflib/explore/pages.py); an
// activation designer's are computed here. A scene is {text, panels}, a panel {x, y, xlim, ylim, log,
// curves}, a curve {label, look, colour, xs, ys}: as in mflib/explore/scene.py.
(() => {
  "use strict";

  // Numbers: pure functions, compared with mflib in tests/test_explore.py.

  const linspace = (a, b, n) => Array.from({ length: n }, (_, i) => a + ((b - a) * i) / (n - 1));

  // Σ c_k h_k(z): h_{k+1} = (z h_k − √k h_{k−1}) / √(k+1).
  function activation(c, z) {
    let below = 0, h = 1, total = c[0];
    for (let k = 0; k + 1 < c.length; k++) {
      [below, h] = [h, (z * h - Math.sqrt(k) * below) / Math.sqrt(k + 1)];
      total += c[k + 1] * h;
    }
    return total;
  }

  // Σ c_k² s^k and its derivative.
  const kernel = (c, s) => c.reduceRight((total, ck) => total * s + ck * ck, 0);
  const slope = (c, s) => c.reduceRight((t, ck, k) => (k ? t * s + k * ck * ck : t), 0);

  function span(values) {
    const low = Math.min(...values), high = Math.max(...values);
    const room = 0.05 * (high - low) || 1;
    return [low - room, high + room];
  }

  // The scene of an activation with coefficients c_0, …, c_K.
  function design(c) {
    const z = linspace(-3, 3, 121), s = linspace(-1, 1, 81);
    const present = c.map((ck, k) => (ck ? k : -1)).filter((k) => k >= 0);
    const exponent = present.find((k) => k > 0);
    const sigma = z.map((x) => activation(c, x)), g = s.map((x) => kernel(c, x));
    const velocity = s.map((x) => (1 - x * x) * slope(c, x));
    let text = "σ is constant.";
    if (exponent) {
      const odd = new Set(present.map((k) => k % 2));
      const parity = odd.size === 2 ? "mixed" : odd.has(1) ? "odd" : "even";
      const rest = s.find((_, i) => i > 0 && i < 78 && velocity[i] > 0 && velocity[i + 1] <= 0);
      const held = rest === undefined ? "" : ` A particle is also held near ${rest.toFixed(2)}.`;
      text =
        `Information exponent ${exponent}, ${parity}: near the equator the velocity goes like the ` +
        `power ${exponent - 1} of the overlap; g(1) = ${g[80].toFixed(2)}.${held}`;
    }
    const line = (xs, ys, colour) => ({ label: "", look: "line", colour, xs, ys });
    const panel = (x, y, xlim, ylim, curves) => ({ x, y, xlim, ylim, log: "", curves });
    return {
      text,
      panels: [
        panel("z", "σ(z)", [-3, 3], span(sigma), [line(z, sigma, "infinite")]),
        panel("s", "g(s)", [-1, 1], span(g), [line(s, g, "infinite")]),
        panel("α", "velocity of α", [-1, 1], span([...velocity, 0]), [
          line([-1, 1], [0, 0], "faint"),
          line(s, velocity, "infinite"),
        ]),
      ],
    };
  }

  // The scene of stored pictures at the positions of the sliders; the last slider is the fastest.
  function stored(data, positions) {
    const place = data.sliders.reduce((n, s, i) => n * s.shown.length + positions[i], 0);
    const [text, panels] = data.scenes[place];
    return {
      text,
      panels: panels.map(([frame, drawn]) => {
        const [x, y, xlim, ylim, log] = data.frames[frame];
        const curves = drawn.map((number) => {
          const [label, look, colour, xs, ys] = data.curves[number];
          return { label, look, colour, xs: data.rows[xs], ys: data.rows[ys] };
        });
        return { x, y, xlim, ylim, log, curves };
      }),
    };
  }

  function scene(data, positions) {
    if (data.scenes) return stored(data, positions);
    return design([data.constant, ...data.sliders.map((s, i) => s.values[positions[i]])]);
  }

  // Round numbers within the limits of an axis: at most six; powers of ten if it is logarithmic.
  function ticks([low, high], log) {
    if (log) {
      const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9);
      const step = Math.max(1, Math.ceil((last - first) / 5));
      const powers = [];
      for (let k = first; k <= last; k += step) powers.push(10 ** k);
      return powers;
    }
    const least = (high - low) / 5, ten = 10 ** Math.floor(Math.log10(least));
    const step = [1, 2, 5, 10].find((x) => x * ten >= least * (1 - 1e-9)) * ten;
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) {
      found.push(Number((k * step).toPrecision(12)));
    }
    return found;
  }

  function tickText(value, log) {
    if (log && (value >= 1e5 || value < 1e-2)) {
      const power = String(Math.round(Math.log10(value)));
      return "10" + [...power].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");
    }
    const small = Math.abs(value) >= 1e6 || (value && Math.abs(value) < 1e-3);
    return (small ? value.toExponential() : String(value)).replace("-", "−");
  }

  // Pictures: SVG, in the colours of explore.css, which follow the theme.

  const WIDTH = 330, HEIGHT = 250, LEFT = 52, RIGHT = 12, TOP = 10, BOTTOM = 40;

  function element(parent, name, attributes, text) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  }

  function scale([low, high], from, to, log) {
    const f = log ? Math.log10 : (x) => x;
    return (x) => from + ((f(x) - f(low)) / (f(high) - f(low))) * (to - from);
  }

  let clips = 0;

  function drawPanel(box, panel) {
    const logX = panel.log.includes("x"), logY = panel.log.includes("y");
    const px = scale(panel.xlim, LEFT, WIDTH - RIGHT, logX);
    const py = scale(panel.ylim, HEIGHT - BOTTOM, TOP, logY);
    const legend = panel.curves.filter((curve) => curve.label);
    const svg = element(box, "svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT + 17 * legend.length}`,
      "aria-hidden": "true", // the sentence below says it
    });
    const bottom = HEIGHT - BOTTOM;
    for (const t of ticks(panel.xlim, logX)) {
      element(svg, "path", { class: "grid", d: `M${px(t)},${TOP}V${bottom}` });
      element(svg, "text", { x: px(t), y: bottom + 15, "text-anchor": "middle" }, tickText(t, logX));
    }
    for (const t of ticks(panel.ylim, logY)) {
      element(svg, "path", { class: "grid", d: `M${LEFT},${py(t)}H${WIDTH - RIGHT}` });
      element(svg, "text", { x: LEFT - 5, y: py(t) + 4, "text-anchor": "end" }, tickText(t, logY));
    }
    element(svg, "path", { class: "axis", d: `M${LEFT},${TOP}V${bottom}H${WIDTH - RIGHT}` });
    const middle = (LEFT + WIDTH - RIGHT) / 2;
    element(svg, "text", { x: middle, y: HEIGHT - 7, "text-anchor": "middle" }, panel.x);
    const place = `rotate(-90) translate(${-(TOP + bottom) / 2}, 11)`;
    element(svg, "text", { transform: place, "text-anchor": "middle" }, panel.y);
    const clip = `mflib-clip-${clips++}`;
    const area = element(element(svg, "clipPath", { id: clip }), "rect", { x: LEFT, y: TOP - 4 });
    area.setAttribute("width", WIDTH - RIGHT - LEFT + 4);
    area.setAttribute("height", bottom - TOP + 8);
    const inside = element(svg, "g", { "clip-path": `url(#${clip})` });
    for (const curve of panel.curves) drawCurve(inside, curve, px, py);
    legend.forEach((curve, i) => {
      const y = HEIGHT + 17 * i + 5;
      const dots = curve.look === "dots" ? [LEFT + 12] : [LEFT, LEFT + 24];
      drawCurve(svg, { ...curve, xs: dots, ys: dots.map(() => y) }, (x) => x, (x) => x);
      element(svg, "text", { x: LEFT + 32, y: y + 4 }, curve.label);
    });
  }

  function drawCurve(parent, curve, px, py) {
    const group = element(parent, "g", { class: `${curve.look} ${curve.colour}` });
    const points = curve.xs
      .map((x, i) => [px(x), py(curve.ys[i])])
      .filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
    if (curve.look === "dots") {
      for (const [x, y] of points) element(group, "circle", { cx: x, cy: y, r: 3 });
    } else {
      const path = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L");
      if (path) element(group, "path", { d: "M" + path });
    }
  }

  // Sliders: the browser's own, so that keyboard, touch and screen readers work.

  let number = 0;

  function build(root) {
    const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    const controls = document.createElement("div"), pictures = document.createElement("div");
    const sentence = document.createElement("p");
    controls.className = "mflib-explore-sliders";
    pictures.className = "mflib-explore-pictures";
    sentence.className = "mflib-explore-text";
    sentence.setAttribute("aria-live", "polite");
    const inputs = data.sliders.map((slider) => {
      const label = document.createElement("label"), input = document.createElement("input");
      const name = document.createElement("span"), output = document.createElement("output");
      input.type = "range";
      input.id = label.htmlFor = `mflib-slider-${number++}`;
      input.min = 0;
      input.max = slider.shown.length - 1;
      input.value = slider.start;
      name.textContent = slider.label;
      label.append(name, input, output);
      controls.append(label);
      return input;
    });
    function show() {
      const positions = inputs.map((input) => Number(input.value));
      inputs.forEach((input, i) => {
        const shown = data.sliders[i].shown[positions[i]];
        input.setAttribute("aria-valuetext", shown);
        input.nextElementSibling.textContent = shown;
      });
      const { text, panels } = scene(data, positions);
      pictures.replaceChildren();
      for (const panel of panels) drawPanel(pictures, panel);
      sentence.textContent = text;
    }
    controls.addEventListener("input", show);
    root.prepend(controls, pictures, sentence);
    root.classList.add("active");
    show();
  }

  if (typeof module !== "undefined") module.exports = { design, scene, ticks, tickText };
  else {
    const start = () => document.querySelectorAll("div.mflib-explore").forEach(build);
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
    else start();
  }
})();

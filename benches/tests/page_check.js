// Runs in the page that the test made, and leaves what it finds in an element that the test reads.
// Errors are listened for by the script in the page's head, which fills `window.complaints`.
addEventListener("load", () => {
  const complaints = window.complaints;
  const visible = (element) => element.getClientRects().length > 0;
  const radios = (name) => [...document.querySelectorAll(`input[name=${name}]`)];
  const found = { views: 0, plots: 0, marks: 0, names: [], fewestPlots: Infinity };

  const checkPlot = (plot, where) => {
    const box = plot.getBoundingClientRect();
    const marks = plot.querySelectorAll("circle:not(.tip), polygon, polyline, rect, line");
    const drawn = [...marks].filter((mark) => {
      const of = mark.getBoundingClientRect();
      return of.width + of.height > 2;
    });
    found.marks += drawn.length;
    if (plot.querySelectorAll(".tip").length === 0) complaints.push(`no points: ${where}`);
    if (drawn.length < 8) complaints.push(`only ${drawn.length} marks: ${where}`);
    if (!plot.querySelector("title").textContent) complaints.push(`no name: ${where}`);
    if (!plot.querySelector("desc").textContent) complaints.push(`no description: ${where}`);
    for (const text of plot.querySelectorAll("text")) {
      const of = text.getBoundingClientRect();
      const inside = of.left >= box.left - 1 && of.right <= box.right + 1
        && of.top >= box.top - 1 && of.bottom <= box.bottom + 1;
      if (!inside) complaints.push(`cut off: ${text.textContent.trim()} in ${where}`);
      if (text.classList.contains("name")) found.names.push(text.textContent);
    }
    const names = [...plot.querySelectorAll("text.name")].map((text) => text.getBoundingClientRect());
    names.forEach((one, index) => names.slice(0, index).forEach((other) => {
      const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
      const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
      if (across > 2 && down > one.height / 2) complaints.push(`names on each other: ${where}`);
    }));
  };

  for (const wait of radios("w")) {
    for (const size of radios("z")) {
      wait.checked = true;
      size.checked = true;
      found.views += 1;
      const plots = [...document.querySelectorAll("svg.plot")].filter(visible);
      found.fewestPlots = Math.min(found.fewestPlots, plots.length);
      found.plots += plots.length;
      for (const plot of plots) checkPlot(plot, `${wait.id} ${size.id} ${plot.querySelector("title").textContent}`);
      const root = document.documentElement;
      if (root.scrollWidth > innerWidth) {
        complaints.push(`${wait.id} ${size.id}: ${root.scrollWidth} wide on ${innerWidth}`);
      }
    }
  }
  document.querySelectorAll("details").forEach((details) => { details.open = true; });
  if (document.documentElement.scrollWidth > innerWidth) complaints.push("the tables are too wide");
  for (const input of document.querySelectorAll("input")) {
    if (!input.labels.length || !input.labels[0].textContent.trim()) complaints.push(`no label: ${input.id}`);
  }

  const ring = [...document.querySelectorAll("svg.plot text.name.ring")].find(visible);
  const limit = [...document.querySelectorAll("svg.plot polyline")]
    .find((line) => getComputedStyle(line).strokeDasharray !== "none");
  found.names = [...new Set(found.names)];
  found.width = innerWidth;
  found.paper = getComputedStyle(document.body).backgroundColor;
  found.ink = getComputedStyle(document.body).color;
  found.ring = getComputedStyle(ring).fill;
  found.limit = getComputedStyle(limit).stroke;
  found.rows = document.querySelectorAll("details tbody tr:not(.group)").length;
  found.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
  found.complaints = complaints;
  const report = document.createElement("pre");
  report.id = "report";
  report.textContent = JSON.stringify(found).replace(/[<>&]/g, "?");
  document.body.append(report);
});

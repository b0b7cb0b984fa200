for (const [id, plot] of Object.entries(plots)) {
  Plotly.newPlot(id, plot.data, plot.layout, { responsive: true, displayModeBar: false });
}
// on paper: everything unfolded, and two plots beside each other
addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("details:not([open])")) each.open = each.unfolded = true;
  for (const id of Object.keys(plots)) Plotly.relayout(id, { autosize: false, width: 300 });
});
addEventListener("afterprint", () => {
  for (const each of document.querySelectorAll("details")) if (each.unfolded) each.open = each.unfolded = false;
  for (const id of Object.keys(plots)) Plotly.relayout(id, { autosize: true, width: null });
});

// Puts in place what the server sends: <div data-live="/path">. Without it the page loads itself anew.
for (const place of document.querySelectorAll("[data-live]")) {
  const source = new EventSource(place.dataset.live);
  source.onmessage = (event) => {
    // Whoever goes by keyboard stays on the link that was reached.
    const reached = place.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    place.innerHTML = event.data;
    if (reached) [...place.querySelectorAll("a")].find((link) => link.getAttribute("href") === reached)?.focus();
  };
  source.addEventListener("end", () => source.close());
}

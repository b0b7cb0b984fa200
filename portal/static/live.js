// Puts in place what the server sends: <div data-live="/path">. Without it the page loads itself anew.
for (const place of document.querySelectorAll("[data-live]")) {
  const source = new EventSource(place.dataset.live);
  source.onmessage = (event) => { place.innerHTML = event.data; };
  source.addEventListener("end", () => source.close());
}

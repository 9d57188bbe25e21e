// Takes what is new from the node, and puts it in its place. Without it, the page loads itself anew.
"use strict";

const lost = document.getElementById("lost");
let since = null;

function take(parts) {
  for (const [name, html] of Object.entries(parts)) {
    if (name === "tab") {
      document.title = html;
      continue;
    }
    const place = document.getElementById(name);
    if (place && place.dataset.html !== html) {
      place.innerHTML = html;
      place.dataset.html = html;
    }
  }
}

function heard() {
  if (since !== null) {
    since = null;
    lost.hidden = true;
    document.documentElement.classList.remove("stale");
  }
}

function unheard() {
  if (since === null) {
    since = new Date();
    const time = since.toTimeString().slice(0, 8);
    lost.textContent = `No answer from this node since ${time}. Below is what it showed before.`;
    lost.hidden = false;
    document.documentElement.classList.add("stale");
    document.title = `✕ ${document.title.slice(2)}`;
  }
}

let source = null;
let watchdog = null;

function listen() {
  source = new EventSource("events");
  source.addEventListener("parts", (event) => {
    clearTimeout(watchdog);
    watchdog = setTimeout(unheard, 5000);
    heard();
    take(JSON.parse(event.data));
  });
  source.onerror = () => {
    unheard();
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(listen, 2000);
    }
  };
}

listen();

"use strict";

// Runs before textual.js, which reads these values when the page has loaded.
const terminal = document.getElementById("terminal");
const scheme = location.protocol === "https:" ? "wss:" : "ws:";
terminal.dataset.sessionWebsocketUrl = `${scheme}//${location.host}/ws`;
// On a phone, 12 pixels give about 54 columns.
if (window.innerWidth < 600) terminal.dataset.fontSize = "12";

const again = document.getElementById("again");
again.addEventListener("click", () => location.reload());

new MutationObserver(() => {
  const state = document.body.classList;
  if (state.contains("-closed")) again.focus();
  else if (state.contains("-first-byte")) document.querySelector(".xterm-helper-textarea")?.focus();
}).observe(document.body, { attributeFilter: ["class"] });

// xterm.js does not pass on the movement of a finger: make it the wheel of a mouse.
let last = 0;
terminal.addEventListener("touchstart", (event) => { last = event.touches[0].clientY; }, { passive: true });
terminal.addEventListener("touchmove", (event) => {
  const { clientX, clientY } = event.touches[0];
  if (Math.abs(last - clientY) < 16) return;
  const turn = { deltaY: last - clientY, deltaMode: 0, clientX, clientY, bubbles: true, cancelable: true };
  document.querySelector(".xterm-screen")?.dispatchEvent(new WheelEvent("wheel", turn));
  last = clientY;
}, { passive: true });

// What the page does by itself where there is JavaScript. Without it everything is there, with a click more.
"use strict";

// The same part of the same page, as the server has it now; focus outside of it stays where it is.
async function renew(id, address, options) {
  const answer = await fetch(address, options);
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(id);
  const shown = document.getElementById(id);
  if (!fresh || !shown) return;
  shown.replaceWith(fresh);
  offerCopies(fresh);
}

function offerCopies(part) {
  for (const button of part.querySelectorAll("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }
}

async function copy(button) {
  const text = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // where there is no clipboard for us, what is to be copied is at least selected
    getSelection().selectAllChildren(button.previousElementSibling);
    document.execCommand("copy");
  }
  button.classList.add("copied");
  setTimeout(() => button.classList.remove("copied"), 1500);
}

function searchAsTyped(form) {
  let waiting = 0;
  let asked = new AbortController();
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      asked.abort();
      asked = new AbortController();
      const address = `${form.getAttribute("action")}?${new URLSearchParams(new FormData(form))}`;
      try {
        await renew(form.dataset.live, address, { signal: asked.signal });
        history.replaceState(null, "", address);
      } catch (error) {
        if (error.name !== "AbortError") throw error;
      }
    }, 120);
  });
}

// A run is followed: whenever something happens, the part is asked for anew, at most twice a second.
function follow(part) {
  const events = new EventSource(part.dataset.follow);
  let waiting = 0;
  const soon = () => {
    waiting ||= setTimeout(async () => {
      await renew(part.id, location.href);
      waiting = 0;
    }, 500);
  };
  for (const kind of ["run", "event", "ended"]) events.addEventListener(kind, soon);
  addEventListener("pagehide", () => events.close());
}

offerCopies(document);
document.querySelector(".top [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
for (const form of document.querySelectorAll("form[data-live]")) searchAsTyped(form);
for (const part of document.querySelectorAll("[data-follow]")) follow(part);

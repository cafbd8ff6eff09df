// Leaves a page whose session has ended. Streamlit alone would say "Connection failed with status 401".
(() => {
  if (window.aditSession) return;
  window.aditSession = true;
  let isAsking = false;
  let wantsOut = false;

  async function ask() {
    if (isAsking) return;
    isAsking = true;
    try {
      const answer = await fetch("/account/alive", { cache: "no-store", redirect: "manual" });
      if (answer.status === 401) leave();
      if (answer.status === 503) window.location.reload();
    } catch {
      // the server is away: Streamlit says so, and connects again
    } finally {
      isAsking = false;
    }
  }

  function leave() {
    const here = window.location.pathname + window.location.search;
    window.location.replace(wantsOut || here === "/" ? "/login" : "/login?next=" + encodeURIComponent(here));
  }

  document.addEventListener("click", (event) => {
    if (event.target.closest?.(".st-key-sign_out button")) wantsOut = true;
  }, true);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) ask();
  });
  window.setInterval(ask, 30000);

  function watch() {
    const page = document.querySelector("[data-testid=stApp]");
    if (!page) return window.setTimeout(watch, 50);
    new MutationObserver(() => {
      if (page.getAttribute("data-test-connection-state") !== "CONNECTED") ask();
    }).observe(page, { attributes: true, attributeFilter: ["data-test-connection-state"] });
  }
  watch();
})();

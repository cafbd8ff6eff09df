// Closes the menu of a phone when a page was chosen, as Streamlit does with its own menu.
(() => {
  if (window.aditMenu) return;
  window.aditMenu = true;
  document.addEventListener("click", (event) => {
    const isLink = event.target.closest?.("[data-testid=stSidebar] [data-testid=stPageLink] a");
    if (!isLink || window.innerWidth >= 768) return;
    document.querySelector("[data-testid=stSidebarCollapseButton] button")?.click();
  });
})();

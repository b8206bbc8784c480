// A table that is wider than the page scrolls: by keyboard, too, so it must take the focus.
addEventListener("load", () => {
  for (const region of document.querySelectorAll(".md-typeset__scrollwrap")) region.tabIndex = 0;
});

"use strict";
// Filters, focus and zoom of the home page's graph. Without it the page shows every edge.
(function () {
  var svg = document.getElementById("graph");
  if (!svg) return;
  var by = function (id) { return document.getElementById(id); };
  var all = function (selector) {
    return Array.prototype.slice.call(document.querySelectorAll(selector));
  };
  var edges = all("[data-edge]"), nodes = all("#graph [data-name]");
  var search = by("search"), vote = by("vote"), support = by("support");
  var basket = by("basket"), focus = by("focus"), said = by("said");

  function wanted(edge) {
    var data = edge.dataset, text = search.value.trim().toLowerCase();
    var ends = [data.source, data.target];
    return Number(data.vote) >= Number(vote.value) &&
      Number(data.support) >= Number(support.value) &&
      (!basket || !basket.value || data.baskets.split("\n").indexOf(basket.value) >= 0) &&
      (!focus.value || ends.indexOf(focus.value) >= 0) &&
      (!text || ends.some(function (end) { return end.toLowerCase().indexOf(text) >= 0; }));
  }

  function apply() {
    var shown = {}, ends = {};
    edges.forEach(function (edge) {
      var keep = wanted(edge);
      edge.classList.toggle("off", !keep);
      if (edge.tagName.toLowerCase() === "a") {
        if (keep) edge.removeAttribute("tabindex"); else edge.setAttribute("tabindex", "-1");
      }
      if (keep) {
        shown[edge.dataset.edge] = true;
        ends[edge.dataset.source] = ends[edge.dataset.target] = true;
      }
    });
    nodes.forEach(function (node) {
      node.classList.toggle("off", !ends[node.dataset.name]);
      node.classList.toggle("on", node.dataset.name === focus.value);
    });
    by("vote-said").textContent = Number(vote.value).toFixed(2);
    by("support-said").textContent = Math.round(100 * support.value) + " %";
    said.textContent = Object.keys(shown).length + " of " + said.dataset.of + " edges shown";
  }

  [search, vote, support, basket, focus].forEach(function (control) {
    if (control) control.addEventListener("input", apply);
  });
  nodes.forEach(function (node) {
    node.addEventListener("click", function () {
      focus.value = focus.value === node.dataset.name ? "" : node.dataset.name;
      apply();
    });
  });

  var whole = svg.getAttribute("viewBox").split(" ").map(Number), view = whole.slice();
  function look() { svg.setAttribute("viewBox", view.join(" ")); }
  function zoom(factor, x, y) {
    var width = Math.min(whole[2] * 1.5, Math.max(whole[2] / 12, view[2] * factor));
    var ratio = width / view[2];
    view = [x - (x - view[0]) * ratio, y - (y - view[1]) * ratio, width, view[3] * ratio];
    look();
  }
  function middle() { return [view[0] + view[2] / 2, view[1] + view[3] / 2]; }
  by("closer").addEventListener("click", function () { zoom(0.7, middle()[0], middle()[1]); });
  by("farther").addEventListener("click", function () { zoom(1.4, middle()[0], middle()[1]); });
  by("everything").addEventListener("click", function () {
    view = whole.slice(); look();
    search.value = ""; focus.value = ""; vote.value = vote.min; support.value = 0;
    if (basket) basket.value = "";
    apply();
  });
  svg.addEventListener("wheel", function (event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    var box = svg.getBoundingClientRect();
    zoom(event.deltaY > 0 ? 1.15 : 0.87,
      view[0] + (event.clientX - box.left) / box.width * view[2],
      view[1] + (event.clientY - box.top) / box.height * view[3]);
  }, { passive: false });
  var held = null;
  svg.addEventListener("pointerdown", function (event) {
    if (!event.target.closest("a, [data-name]")) held = [event.clientX, event.clientY, view.slice()];
  });
  window.addEventListener("pointermove", function (event) {
    if (!held) return;
    var box = svg.getBoundingClientRect();
    view = [held[2][0] - (event.clientX - held[0]) / box.width * view[2],
      held[2][1] - (event.clientY - held[1]) / box.height * view[3], view[2], view[3]];
    look();
  });
  window.addEventListener("pointerup", function () { held = null; });
  apply();
})();

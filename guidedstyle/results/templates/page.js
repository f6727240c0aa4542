"use strict";

for (const slider of document.querySelectorAll(".comparison input")) {
  const show = () => {
    slider.parentElement.style.setProperty("--split", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${Math.round(slider.value)}% content image`);
  };
  slider.addEventListener("input", show);
  show();
}

const button = document.querySelector("#copy");
const recipe = document.querySelector("#yaml");
const answer = document.querySelector("#copied");

const copySelected = () => {
  getSelection().selectAllChildren(recipe);
  return document.execCommand("copy"); // where a page opened from a file may not write to the clipboard
};

button.hidden = false;
button.addEventListener("click", async () => {
  const done = await navigator.clipboard?.writeText(recipe.textContent).then(() => true, () => false);
  answer.textContent = done || copySelected() ? "Copied." : "Press Ctrl+C: the recipe is selected.";
});

// Quizzes (book/_ext/quiz.py): what is said of the chosen answer, when it is asked for. Choosing alone must not tell
// it: the arrow keys go through all answers.
for (const quiz of document.querySelectorAll(".mflib-quiz")) {
  const key = quiz.querySelector("details"), said = document.createElement("div"), check = document.createElement("button");
  said.setAttribute("aria-live", "polite");
  check.type = "button";
  check.textContent = "Check";
  check.disabled = true;
  key.before(check, said);
  quiz.addEventListener("change", () => {
    check.disabled = false;
    said.replaceChildren();
  });
  check.addEventListener("click", () => {
    const chosen = quiz.querySelector("input:checked").id;
    said.replaceChildren(key.querySelector(`[data-answer="${chosen}"]`).cloneNode(true));
  });
}

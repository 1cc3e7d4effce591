// Quizzes (book/_ext/quiz.py): what is to be said of an answer appears when it is chosen.
for (const quiz of document.querySelectorAll(".mflib-quiz")) {
  const key = quiz.querySelector("details"), said = document.createElement("div");
  said.setAttribute("aria-live", "polite");
  said.append(...key.querySelectorAll(".mflib-quiz-feedback"));
  key.replaceWith(said);
  const show = (answer) => {
    for (const feedback of said.children) feedback.hidden = feedback.dataset.answer !== answer;
  };
  show(null);
  quiz.addEventListener("change", (event) => show(event.target.id));
}

// The composer: keeps unsent text per conversation, shows chosen files, takes dropped and pasted ones.

const box = () => document.querySelector(".composer");
const area = () => box()?.querySelector("textarea");
const slot = () => `unsent:${box()?.dataset.liveId}`;

function showFiles(input) {
  const list = box().querySelector(".composer-files");
  list.replaceChildren(
    ...[...input.files].map((file, index) => {
      const chip = document.createElement("button");
      chip.type = "button";
      chip.className = "chip chip-accent";
      chip.textContent = `${file.name} ×`;
      chip.onclick = () => keep(input, [...input.files].filter((_, other) => other !== index));
      return chip;
    }),
  );
}

function keep(input, files) {
  const transfer = new DataTransfer();
  files.forEach((file) => transfer.items.add(file));
  input.files = transfer.files;
  showFiles(input);
}

function add(files) {
  const input = box()?.querySelector('input[type="file"]');
  if (input && files.length) keep(input, [...input.files, ...files]);
}

function restore() {
  if (area() && !area().value) area().value = sessionStorage.getItem(slot()) ?? "";
}

addEventListener("input", ({ target }) => {
  if (target === area()) sessionStorage.setItem(slot(), target.value);
});
addEventListener("change", ({ target }) => {
  if (!target.closest?.(".composer")) return;
  if (target.type === "file") showFiles(target);
});
addEventListener("click", ({ target }) => target.closest?.(".composer-tabs label") && area().focus());
addEventListener("paste", (event) => {
  if (event.target === area() && event.clipboardData.files.length) {
    event.preventDefault();
    add(event.clipboardData.files);
  }
});
for (const type of ["dragover", "dragleave", "drop"]) {
  addEventListener(type, (event) => {
    const over = event.target.closest?.(".thread-pane") && event.dataTransfer?.types.includes("Files");
    if (!over || !box()) return;
    event.preventDefault();
    box().classList.toggle("is-over", type === "dragover");
    if (type === "drop") add(event.dataTransfer.files);
  });
}
document.body.addEventListener("sent", () => {
  sessionStorage.removeItem(slot());
  box().reset();
  box().querySelector(".composer-files").replaceChildren();
  const scroll = document.querySelector(".thread-scroll");
  if (scroll) scroll.scrollTop = 0;
  area().focus();
});
document.body.addEventListener("htmx:afterSettle", restore);
restore();

// Existing recordings: chosen, or dropped anywhere on the page.

export function listenForFiles(input, sign, take) {
  input.addEventListener('change', () => {
    const [file] = input.files;
    if (file) take(file);
    // Allows choosing the same file again.
    input.value = '';
  });

  // Dragged text belongs in the text field.
  const isFile = (event) => event.dataTransfer?.types.includes('Files');
  addEventListener('dragover', (event) => {
    if (!isFile(event)) return;
    event.preventDefault();
    sign.hidden = false;
  });
  addEventListener('dragleave', (event) => {
    // Moving from one element to another is not leaving the window.
    if (!event.relatedTarget) sign.hidden = true;
  });
  addEventListener('drop', (event) => {
    sign.hidden = true;
    if (!isFile(event)) return;
    event.preventDefault();
    const [file, ...others] = event.dataTransfer.files;
    if (file) take(file, others.length);
  });
}

/** Whether a dropped item is a file: a folder looks like one until it is read. */
export async function isReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

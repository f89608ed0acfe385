// Recordings that are there already: chosen, or dropped anywhere on the page.

export function listenForFiles(input, sign, take) {
  input.addEventListener('change', () => {
    const [file] = input.files;
    if (file) take(file);
    // So that choosing the same file again is a change again.
    input.value = '';
  });

  // Text is dragged too, and belongs into the text field.
  const isFile = (event) => event.dataTransfer?.types.includes('Files');
  addEventListener('dragover', (event) => {
    if (!isFile(event)) return;
    event.preventDefault();
    sign.hidden = false;
  });
  addEventListener('dragleave', (event) => {
    // Leaving one element for another is not leaving the window.
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

/** Folders can be dropped too; they look like files until they are read. */
export async function isReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

// Saves a file that has come. args: channel
const [name, content] = channel.file
const link = document.createElement("a")
link.href = URL.createObjectURL(new Blob([content]))
link.download = name
link.click()
setTimeout(() => URL.revokeObjectURL(link.href), 60000)

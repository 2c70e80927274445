// All text of the exported page, in English and Chinese.

export const WORDS = {
  en: {
    title: "Draw a digit: {count} neural networks answer",
    intro: "Everything is computed in this file. No server, no network connection.",
    pad: "Drawing pad. Draw a digit with a mouse, a finger or a pen; or choose a test image below.",
    clear: "Clear",
    undo: "Undo stroke",
    seen: "What the networks see: 28 x 28 pixels",
    samples: "Or choose a test image",
    sample: "Test image of a {digit}",
    empty: "Draw something.",
    agree: "{count} of {all} networks say {digit}.",
    silent: "no answer",
    generation: "Generation {generation}, {year}",
    accuracy: "test accuracy",
    parameters: "parameters",
    steps: "time steps",
    spikes: "{count} spikes for this answer",
    share: "{digit}: {share} %",
    server: "These networks need the server: run threegen play.",
    language: "中文",
  },
  zh: {
    title: "写一个数字：{count} 个神经网络来回答",
    intro: "所有计算都在这个文件中完成。无需服务器，无需联网。",
    pad: "画板。用鼠标、手指或笔写一个数字，或在下面选择一张测试图像。",
    clear: "清除",
    undo: "撤销一笔",
    seen: "网络看到的图像：28 x 28 像素",
    samples: "或选择一张测试图像",
    sample: "数字 {digit} 的测试图像",
    empty: "请写一个数字。",
    agree: "{all} 个网络中有 {count} 个回答 {digit}。",
    silent: "没有回答",
    generation: "第 {generation} 代，{year} 年",
    accuracy: "测试正确率",
    parameters: "参数",
    steps: "时间步",
    spikes: "本次回答共 {count} 个脉冲",
    share: "{digit}：{share} %",
    server: "这些网络需要服务器：请运行 threegen play。",
    language: "English",
  },
};

/** A text with its blanks filled in. */
export function filled(text, values = {}) {
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

// Small line charts.

import { fill, s } from './ui.js'

/** A chart that draws again. Series: { name, tone, points: [number or undefined] }. */
export function chart({ width = 560, height = 130, label, format = String, low = 0 }) {
  const element = s('svg.chart', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label })
  const left = 54
  const bottom = 18
  element.draw = (series, span = '') => {
    const values = series.flatMap((each) => each.points).filter((value) => value !== undefined && Number.isFinite(value))
    const top = nice(Math.max(low, ...values))
    const most = Math.max(2, ...series.map((each) => each.points.length))
    const x = (i) => left + ((width - left - 6) * i) / (most - 1)
    const y = (value) => 8 + (height - bottom - 8) * (1 - value / (top || 1))
    const lines = [0, 0.5, 1].map((part) => [
      s('line.rule', { x1: left, x2: width - 6, y1: y(part * top), y2: y(part * top) }),
      s('text', { x: left - 6, y: y(part * top) + 4, 'text-anchor': 'end' }, format(part * top)),
    ])
    const paths = series.map((each) => {
      const shift = most - each.points.length
      let pen = 'M'
      let path = ''
      each.points.forEach((value, i) => {
        if (value === undefined || !Number.isFinite(value)) {
          pen = 'M'
          return
        }
        path += `${pen}${x(i + shift).toFixed(1)} ${y(value).toFixed(1)}`
        pen = 'L'
      })
      return s(`path.line.${each.tone}`, { d: path || 'M0 0' })
    })
    fill(element, lines, paths, span ? s('text', { x: left, y: height - 3 }, span) : null)
    const latest = series.map((each) => `${each.name} ${each.points.at(-1) === undefined ? 'none' : format(each.points.at(-1))}`)
    element.setAttribute('aria-label', `${label}: ${latest.join(', ')}`)
  }
  return element
}

function nice(value) {
  if (!(value > 0) || !Number.isFinite(value)) return 1
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((step) => step >= value)
}

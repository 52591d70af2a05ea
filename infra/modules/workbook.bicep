// The fleet at a glance: how it does, who calls whom, one drone or trace, and whether insights are made.

param name string
param location string
param tags { *: string }
param workspaceId string
param applicationInsightsId string
param cosmosAccountId string
param eventHubsNamespaceId string
@description('Where the app answers.')
param apiUrl string

// `width` is how many hundredths of a line a chart takes.
var overview = [
  {
    title: 'Events per second'
    query: loadTextContent('../queries/events-per-function.kql')
    as: 'timechart'
    width: '50'
  }
  { title: 'Seconds behind the hub', query: loadTextContent('../queries/lag.kql'), as: 'timechart', width: '50' }
  {
    title: 'Fresh: states stored within five seconds beyond the batch wait, in hundredths; promised are 99'
    query: loadTextContent('../queries/freshness.kql')
    as: 'timechart'
    width: '50'
  }
  {
    title: 'Of the late events that the time shown allows, how much is left, in hundredths'
    query: loadTextContent('../queries/freshness-budget.kql')
    as: 'table'
    width: '25'
  }
  {
    title: 'What came in, and what became of it'
    query: loadTextContent('../queries/loss.kql')
    as: 'table'
    width: '25'
  }
  {
    title: 'Dead letters by reason'
    query: loadTextContent('../queries/dead-letters.kql')
    as: 'barchart'
    width: '50'
  }
  {
    title: 'Alerts raised, repeated and cleared'
    query: loadTextContent('../queries/alerts.kql')
    as: 'barchart'
    width: '50'
  }
  {
    title: 'Request units a second'
    query: loadTextContent('../queries/request-units.kql')
    as: 'timechart'
    width: '50'
  }
  {
    title: 'Turned away by Cosmos DB, in hundredths'
    query: loadTextContent('../queries/throttled.kql')
    as: 'timechart'
    width: '50'
  }
  { title: 'Events and writes', query: loadTextContent('../queries/writes.kql'), as: 'timechart', width: '50' }
  { title: 'Posts to the webhook', query: loadTextContent('../queries/webhook.kql'), as: 'barchart', width: '50' }
  {
    title: 'Seconds behind the hub, by partition'
    query: loadTextContent('../queries/lag-by-partition.kql')
    as: 'table'
    width: '50'
  }
  { title: 'Calls and failures', query: loadTextContent('../queries/failures.kql'), as: 'table', width: '50' }
  { title: 'Errors and warnings', query: loadTextContent('../queries/errors.kql'), as: 'table', width: '100' }
]

var calls = [
  { title: 'Who calls whom, every call counted', query: loadTextContent('../queries/map-calls.kql'), as: 'table' }
  {
    title: 'Which function calls what, in the traces that were kept'
    query: loadTextContent('../queries/map-traces.kql')
    as: 'table'
  }
]

var one = [
  { title: 'Its alerts', query: loadTextContent('../queries/one-alerts.kql') }
  { title: 'Lines about it', query: loadTextContent('../queries/one-lines.kql') }
  { title: 'Dead letters', query: loadTextContent('../queries/one-dead-letters.kql') }
  { title: 'Its traces', query: loadTextContent('../queries/one-traces.kql') }
]

// What the fleet did is on the app's own page; here is whether it is made.
var insights = [
  {
    title: 'Hours of partitions that wait to be summarised'
    query: loadTextContent('../queries/insight-units.kql')
  }
  {
    title: 'Summarised: units, events, what is missing and files skipped'
    query: loadTextContent('../queries/insights.kql')
  }
]

// `aggregation`: 1 is the sum, 3 the maximum, 7 the count.
var metrics = [
  {
    title: 'Cosmos DB: request units'
    resourceId: cosmosAccountId
    type: 'microsoft.documentdb/databaseaccounts'
    metric: 'microsoft.documentdb/databaseaccounts-Requests-TotalRequestUnits'
    aggregation: 1
    splitBy: 'CollectionName'
  }
  {
    title: 'Cosmos DB: requests by status (429: throttled)'
    resourceId: cosmosAccountId
    type: 'microsoft.documentdb/databaseaccounts'
    metric: 'microsoft.documentdb/databaseaccounts-Requests-TotalRequests'
    aggregation: 7
    splitBy: 'StatusCode'
  }
  {
    title: 'Event Hubs: events in'
    resourceId: eventHubsNamespaceId
    type: 'microsoft.eventhub/namespaces'
    metric: 'microsoft.eventhub/namespaces--IncomingMessages'
    aggregation: 1
    splitBy: 'EntityName'
  }
  {
    title: 'Event Hubs: events out'
    resourceId: eventHubsNamespaceId
    type: 'microsoft.eventhub/namespaces'
    metric: 'microsoft.eventhub/namespaces--OutgoingMessages'
    aggregation: 1
    splitBy: 'EntityName'
  }
]

var asked = {
  version: 'KqlParameterItem/1.0'
  style: 'pills'
  queryType: 0
  resourceType: 'microsoft.operationalinsights/workspaces'
}

var timeRange = {
  type: 9
  name: 'parameters'
  content: union(asked, {
    parameters: [
      {
        id: guid(workspaceId, 'TimeRange')
        version: 'KqlParameterItem/1.0'
        name: 'TimeRange'
        label: 'Time range'
        type: 4
        isRequired: true
        value: { durationMs: 3600000 }
        typeSettings: {
          selectableValues: [
            { durationMs: 900000 }
            { durationMs: 3600000 }
            { durationMs: 14400000 }
            { durationMs: 86400000 }
            { durationMs: 604800000 }
          ]
          allowCustom: true
        }
      }
    ]
  })
}

var tabs = [
  { tab: 'overview', label: 'Overview', items: concat(overviewItems, metricItems) }
  { tab: 'map', label: 'Who calls whom', items: concat([callText], callItems) }
  { tab: 'one', label: 'One drone', items: concat([oneText, about], oneItems) }
  { tab: 'insights', label: 'Insights', items: insightItems }
]

var links = [
  for tab in tabs: {
    id: guid(workspaceId, tab.tab)
    cellValue: 'tab'
    linkTarget: 'parameter'
    linkLabel: tab.label
    subTarget: tab.tab
    style: 'link'
  }
]

var groups = [
  for tab in tabs: {
    type: 12
    name: tab.tab
    conditionalVisibility: { parameterName: 'tab', comparison: 'isEqualTo', value: tab.tab }
    content: { version: 'NotebookGroup/1.0', groupType: 'editable', items: tab.items }
  }
]

var logContent = {
  version: 'KqlItem/1.0'
  size: 0
  timeContextFromParameter: 'TimeRange'
  queryType: 0
  resourceType: 'microsoft.operationalinsights/workspaces'
  crossComponentResources: [workspaceId]
}

var overviewItems = [
  for item in overview: {
    type: 3
    name: item.title
    customWidth: item.width
    content: union(logContent, { title: item.title, query: item.query, visualization: item.as })
  }
]

var callText = {
  type: 1
  name: 'The map'
  content: {
    json: 'The portal draws the same as a picture: [application map](${environment().portal}/#@/resource${applicationInsightsId}/applicationMap).'
  }
}

var callItems = [
  for item in calls: {
    type: 3
    name: item.title
    content: union(logContent, { title: item.title, query: item.query, visualization: item.as })
  }
]

var oneText = {
  type: 1
  name: 'One drone'
  content: {
    json: 'A drone by its id, or a trace by its own of 32 digits. No event is logged by itself: what the drone last reported and wrote is its document, `GET ${apiUrl}/drones/{About}`, and its alerts are `GET ${apiUrl}/alerts?deviceId={About}`.'
  }
}

var about = {
  type: 9
  name: 'about'
  content: union(asked, {
    parameters: [
      {
        id: guid(workspaceId, 'About')
        version: 'KqlParameterItem/1.0'
        name: 'About'
        label: 'Drone or trace'
        type: 1
        isRequired: true
        value: ''
      }
    ]
  })
}

var oneItems = [
  for item in one: {
    type: 3
    name: item.title
    content: union(logContent, { title: item.title, query: item.query, visualization: 'table' })
  }
]

var insightItems = [
  for item in insights: {
    type: 3
    name: item.title
    customWidth: '50'
    content: union(logContent, { title: item.title, query: item.query, visualization: 'timechart' })
  }
]

var metricItems = [
  for item in metrics: {
    type: 10
    name: item.title
    customWidth: '50'
    content: {
      chartId: guid(item.resourceId, item.metric)
      version: 'MetricsItem/2.0'
      title: item.title
      size: 0
      chartType: 2
      resourceType: item.type
      metricScope: 0
      resourceIds: [item.resourceId]
      timeContextFromParameter: 'TimeRange'
      timeContext: { durationMs: 3600000 }
      metrics: [
        {
          namespace: item.type
          metric: item.metric
          aggregation: item.aggregation
          splitBy: item.splitBy
        }
      ]
    }
  }
]

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, name, 'fleet-at-a-glance')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Drone Delivery: the fleet at a glance'
    category: 'workbook'
    sourceId: workspaceId
    version: '1.0'
    serializedData: string({
      version: 'Notebook/1.0'
      items: concat(
        [timeRange, { type: 11, name: 'tabs', content: { version: 'LinkItem/1.0', style: 'tabs', links: links } }],
        groups
      )
      fallbackResourceIds: [workspaceId]
    })
  }
}

output workbookId string = workbook.id

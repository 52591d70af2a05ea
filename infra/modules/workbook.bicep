// The fleet at a glance.

param name string
param location string
param tags { *: string }
param workspaceId string
param cosmosAccountId string
param eventHubsNamespaceId string

var logs = [
  { title: 'Events per second', query: loadTextContent('../queries/events-per-function.kql'), as: 'timechart' }
  { title: 'Freshness: seconds behind the hub', query: loadTextContent('../queries/freshness.kql'), as: 'timechart' }
  { title: 'Dead letters by reason', query: loadTextContent('../queries/dead-letters.kql'), as: 'barchart' }
  { title: 'Events and writes', query: loadTextContent('../queries/writes.kql'), as: 'timechart' }
  { title: 'Alerts raised, repeated and cleared', query: loadTextContent('../queries/alerts.kql'), as: 'barchart' }
  { title: 'Calls and failures', query: loadTextContent('../queries/failures.kql'), as: 'table' }
  { title: 'Errors and warnings', query: loadTextContent('../queries/errors.kql'), as: 'table' }
]

// What the fleet did is on the app's own page; here is whether it is made.
var insights = [
  {
    title: 'Hours of partitions that wait to be summarised'
    query: loadTextContent('../queries/insight-units.kql')
    as: 'timechart'
  }
  {
    title: 'Summarised: units, events, what is missing and files skipped'
    query: loadTextContent('../queries/insights.kql')
    as: 'timechart'
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

var timeRange = {
  type: 9
  name: 'parameters'
  content: {
    version: 'KqlParameterItem/1.0'
    style: 'pills'
    queryType: 0
    resourceType: 'microsoft.operationalinsights/workspaces'
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
  }
}

var logItems = [
  for item in logs: {
    type: 3
    name: item.title
    customWidth: '50'
    content: union(logContent, { title: item.title, query: item.query, visualization: item.as })
  }
]

var insightItems = [
  for item in insights: {
    type: 3
    name: item.title
    customWidth: '50'
    content: union(logContent, { title: item.title, query: item.query, visualization: item.as })
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

var insightsHeading = {
  type: 1
  name: 'Insights'
  content: { json: '## Insights' }
}

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
      items: concat([timeRange], logItems, metricItems, [insightsHeading], insightItems)
      fallbackResourceIds: [workspaceId]
    })
  }
}

output workbookId string = workbook.id
